"""What no trial could be built of is told before anything starts, by key."""

import pytest
import torch

from raydr.config.jobs import SearchSettings
from raydr.config.override import with_overrides
from raydr.engine.package import ModelDescription, save_model
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.workflows.search import _check_students

SETTINGS = SearchSettings.model_validate(
    {
        "job": "search",
        "out": "runs/x",
        "teacher": "runs/teacher",
        "data": {"manifest": "manifest.parquet"},
        "distill": {"model": {"weights": "none", "backbone": "test_resnet"}},
        "space": {"optim.learning_rate": {"kind": "loguniform", "low": 1e-4, "high": 1e-3}},
    }
)


def searched(key, values, **overrides):
    domain = {"kind": "choice", "values": values}
    return with_overrides(SETTINGS, {"space": {key: domain}, **overrides})


def test_a_backbone_that_timm_does_not_know_is_told_by_its_key():
    with pytest.raises(InputError, match=r'^space\."model\.backbone": timm knows no model \'resnet5\''):
        _check_students(searched("model.backbone", ["resnet18", "resnet5"]), "binary", "test_resnet")
    with pytest.raises(InputError, match=r"^distill: timm knows no model"):
        _check_students(with_overrides(SETTINGS, {"distill.model.backbone": "resnet5"}), "binary", "test_resnet")


def test_a_backbone_that_cannot_start_from_the_weights_is_told_by_its_key(tmp_path):
    weights = str(tmp_path / "backbone")
    save_model(weights, torch.nn.Linear(1, 1), ModelDescription("test_resnet", None, Preprocess(side_px=32)))
    own = {"distill.model.weights": weights}
    _check_students(with_overrides(SETTINGS, own), "binary", "test_resnet")
    with pytest.raises(
        InputError, match=r'space\."model\.backbone": .* is a \'test_resnet\', from which a \'resnet18\''
    ):
        _check_students(searched("model.backbone", ["test_resnet", "resnet18"], **own), "binary", "test_resnet")


def test_a_loss_that_the_teachers_head_does_not_go_with_is_told():
    with pytest.raises(InputError, match=r"distillation\.decoupled_weight: needs a teacher of five grades"):
        _check_students(searched("distillation.decoupled_weight", [0.0, 1.0]), "binary", "test_resnet")
    _check_students(searched("distillation.decoupled_weight", [0.0, 1.0]), "grades", "test_resnet")


@pytest.mark.parametrize(
    ("settings", "asks"),
    [
        (SETTINGS, True),
        (with_overrides(SETTINGS, {"distill.distillation.targets": "online"}), False),
        (searched("distillation.least_confidence", [0.0, 0.6], **{"distill.distillation.targets": "online"}), True),
    ],
)
def test_the_teacher_is_asked_beforehand_only_where_a_student_wants_it(settings, asks):
    assert _check_students(settings, "binary", "test_resnet") is asks


def test_pbt_is_refused_a_number_that_is_not_set():
    settings = with_overrides(
        SETTINGS,
        {
            "scheduler": "pbt",
            "distill.optim.gradient_clip": None,
            "space": {"optim.gradient_clip": {"kind": "uniform", "low": 0.5, "high": 2.0}},
        },
    )
    with pytest.raises(InputError, match=r'^space\."optim\.gradient_clip": distill.s own value is none'):
        _check_students(settings, "binary", "test_resnet")
