"""The linear probe: an ordinary classifier that says what scikit-learn's pipeline says."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from raydr.config.arms import ProbeStage
from raydr.engine.batch import Pool
from raydr.engine.context import LocalContext
from raydr.engine.package import ModelDescription, load_model, save_model
from raydr.engine.score import score_share
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.learning.probe import fit_rules, probe
from raydr.metrics.roc import auc
from raydr.models.backbone import create_backbone

PREPROCESS = Preprocess(side_px=32)
CPU = torch.device("cpu")


def pool(count, *, seed):
    draw = np.random.default_rng(seed)
    grades = np.resize([0, 1, 2, 4], count)
    images = draw.integers(0, 200, (count, 3, 32, 32), dtype=np.uint8)
    images[grades >= 2, 0] += draw.integers(0, 55, (int((grades >= 2).sum()), 32, 32), dtype=np.uint8)
    return Pool(images, np.arange(count), grades)


def test_the_rule_is_scikit_learns_on_standardised_features():
    draw = np.random.default_rng(0)
    features = (draw.normal(size=(60, 5)) * [1, 100, 0.01, 3, 0] + 7).astype(np.float32)
    truth = features[:, 0] + draw.normal(size=60) > 7
    (rule,) = fit_rules(features, truth, inverse_strengths=[0.3], class_balance=True)
    twin = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, class_weight="balanced", max_iter=2000))
    twin.fit(features.astype(np.float64), truth)
    np.testing.assert_allclose(rule.log_odds(features), twin.decision_function(features.astype(np.float64)), atol=1e-3)
    assert rule.weight[4] == 0, "a feature that never changes says nothing"


@pytest.fixture
def made(tmp_path):
    """Settings, images and what the probe chose, its model in ``tmp_path / "model"``."""
    torch.manual_seed(1)
    network = create_backbone("test_resnet").eval()
    holder = torch.nn.ModuleDict({"backbone": network})
    save_model(str(tmp_path / "start"), holder, ModelDescription("test_resnet", None, PREPROCESS))
    settings = ProbeStage.model_validate(
        {"model": {"backbone": "test_resnet", "weights": str(tmp_path / "start")}, "inverse_strengths": [1e-5, 1.0]}
    )
    labelled, validation = pool(40, seed=0), pool(40, seed=1)
    assignment = Assignment(PREPROCESS, str(tmp_path / "model"), seed=0, settings_digest="d")
    learnt = probe(settings, labelled, validation, assignment, LocalContext(tmp_path))
    return network, labelled, validation, learnt, load_model(str(tmp_path / "model"))


def test_the_saved_classifier_has_the_frozen_backbone_and_the_rule_for_a_head(made):
    network, labelled, validation, learnt, model = made
    own = model.network.state_dict()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(own[f"backbone.{name}"], tensor, rtol=0, atol=0)
    features = score_share(network, labelled, device=CPU)
    strength = learnt.choices["inverse_strength"]
    (rule,) = fit_rules(features, labelled.grade >= 2, inverse_strengths=[strength], class_balance=True)
    said = score_share(model.network, validation, device=CPU)[:, 0]
    wanted = rule.log_odds(score_share(network, validation, device=CPU))
    np.testing.assert_allclose(said, wanted, atol=1e-3)
    np.testing.assert_allclose(learnt.probability, 1 / (1 + np.exp(-said)), atol=1e-6)
    assert model.head == "binary"
    assert "youden" in model.thresholds


def test_the_validation_patients_choose_the_strength(made):
    network, labelled, validation, learnt, _ = made
    features, queries = (score_share(network, images, device=CPU) for images in (labelled, validation))
    rules = fit_rules(features, labelled.grade >= 2, inverse_strengths=[1e-5, 1.0], class_balance=True)
    aucs = {
        strength: auc(validation.grade >= 2, rule.log_odds(queries))
        for strength, rule in zip((1e-5, 1.0), rules, strict=True)
    }
    assert aucs[1e-5] != aucs[1.0]
    assert learnt.choices["inverse_strength"] == max(aucs, key=aucs.get)


def test_labels_of_one_class_are_refused(tmp_path):
    settings = ProbeStage.model_validate({"model": {"backbone": "test_resnet", "weights": "none"}})
    images = pool(8, seed=0)
    lone = Pool(images.image, images.row, np.zeros(8, dtype=np.int64))
    with pytest.raises(ValueError, match="class"):
        probe(settings, lone, images, Assignment(PREPROCESS, None, seed=0, settings_digest="d"), LocalContext(tmp_path))
