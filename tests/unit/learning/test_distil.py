"""The student's loop with a teacher that is asked: it learns what the teacher knows, resumes, and is a plain model."""

import numpy as np
import pytest
import torch

from raydr.build import check_start_from_teacher
from raydr.config.stages import DistillStage
from raydr.engine.batch import Pool
from raydr.engine.context import LocalContext
from raydr.engine.package import ModelDescription, load_model, read_description, save_model
from raydr.engine.sources import ShuffledPool
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.learning.distil import DistilImages, Teaching, distil
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier

PREPROCESS = Preprocess(side_px=32)


def pool(num_images=24, num_known=0):
    draw = np.random.default_rng(0)
    is_ill = np.arange(num_images) % 2
    image = np.clip(draw.normal(60 + 120 * is_ill[:, None, None, None], 20, (num_images, 3, 32, 32)), 0, 255)
    grade = np.where(np.arange(num_images) < num_known, 3 * is_ill, -1)
    return Pool(image.astype(np.uint8), np.arange(num_images), grade)


@pytest.fixture
def teachers(tmp_path):
    folders = []
    for seed in range(2):
        torch.manual_seed(seed)
        network = Classifier(create_backbone("test_resnet"), 1)
        folders.append(str(tmp_path / f"teacher-{seed}"))
        save_model(folders[-1], network, ModelDescription("test_resnet", "binary", PREPROCESS))
    return tuple(folders)


@pytest.fixture
def learn(tmp_path, teachers):
    def run(context, *, logits=None, folder=None, optim=None, **distillation):
        settings = DistillStage.model_validate(
            {
                "model": {"backbone": "test_vit", "weights": "none"},
                "distillation": {"label_weight": 0.0, **distillation},
                "optim": {"epochs": 4, "batch_size": 8, "learning_rate": 2e-3, **(optim or {})},
                "augment": "none",
                "class_balance": False,
            }
        )
        images = DistilImages(ShuffledPool(pool(), 8, seed=0), pool(0), pool(12, num_known=12))
        assignment = Assignment(PREPROCESS, folder and str(folder), seed=0, settings_digest="d")
        return distil(settings, images, Teaching(logits, "binary", teachers), assignment, context).progress

    return run


@pytest.mark.pipeline
def test_a_student_comes_to_agree_with_teachers_that_it_asks_in_logits_and_features(learn, tmp_path):
    asked = {"targets": "online", "temperature": 1.0, "soft_weight": 1.0, "feature_weight": 1.0}
    progress = learn(LocalContext(tmp_path / "states"), folder=tmp_path / "model", optim={"epochs": 12}, **asked)
    losses = [row["loss"] for row in progress.history]
    assert losses[-1] < 0.8 * losses[0]
    model = load_model(str(tmp_path / "model"))
    assert read_description(str(tmp_path / "model")).backbone == "test_vit"
    assert not [name for name in model.network.state_dict() if "projector" in name]


@pytest.mark.pipeline
def test_asking_about_the_picture_itself_is_learning_from_what_was_asked_beforehand(learn, teachers, tmp_path):
    """Without views or gates there is no difference; so nothing else differs between the two either."""
    image = torch.from_numpy(pool().image).float() / 255
    with torch.inference_mode():
        logits = torch.stack([load_model(folder).network(image) for folder in teachers]).mean(dim=0).numpy()
    online = learn(LocalContext(tmp_path / "a"), targets="online")
    cached = learn(LocalContext(tmp_path / "b"), logits=logits)
    np.testing.assert_allclose(
        [row["loss"] for row in online.history], [row["loss"] for row in cached.history], rtol=1e-4
    )
    other = learn(LocalContext(tmp_path / "c"), logits=logits + 1)
    assert abs(other.history[0]["loss"] / cached.history[0]["loss"] - 1) > 1e-2


@pytest.mark.pipeline
def test_a_student_with_a_layer_for_features_resumes_exactly(learn, tmp_path):
    class Cut(LocalContext):
        def report(self, metrics, save_state):
            super().report(metrics, save_state)
            if metrics["epoch"] == 1:
                raise KeyboardInterrupt

    asked = {"targets": "online", "feature_weight": 1.0, "optim": {"ema_decay": 0.9}}
    whole = learn(LocalContext(tmp_path / "whole"), folder=tmp_path / "model", **asked)
    with pytest.raises(KeyboardInterrupt):
        learn(Cut(tmp_path / "cut"), folder=tmp_path / "again", **asked)
    again = learn(LocalContext(tmp_path / "cut"), folder=tmp_path / "again", **asked)
    assert [row["loss"] for row in again.history] == [row["loss"] for row in whole.history]
    found, expected = (load_model(str(tmp_path / name)).network.state_dict() for name in ("again", "model"))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_a_student_that_starts_as_its_teacher_says_what_the_teacher_says_before_it_learns(tmp_path, teachers):
    settings = DistillStage.model_validate(
        {
            "model": {"backbone": "test_resnet", "weights": "none"},
            "start": "teacher",
            "optim": {"epochs": 1, "batch_size": 8, "learning_rate": 1e-12, "weight_decay": 0.0},
            "augment": "none",
        }
    )
    images = DistilImages(ShuffledPool(pool(), 8, seed=0), pool(0), pool(12, num_known=12))
    assignment = Assignment(PREPROCESS, str(tmp_path / "model"), seed=0, settings_digest="d")
    logits = np.zeros((24, 1), np.float32)
    distil(settings, images, Teaching(logits, "binary", teachers), assignment, LocalContext(tmp_path / "states"))
    before, after = (load_model(folder).network for folder in (teachers[0], str(tmp_path / "model")))
    for name, value in dict(before.named_parameters()).items():
        torch.testing.assert_close(dict(after.named_parameters())[name], value, msg=name)


def test_a_student_of_another_backbone_cannot_start_as_its_teacher():
    settings = DistillStage.model_validate({"model": {"backbone": "resnet18"}, "start": "teacher"})
    with pytest.raises(InputError, match=r"^start: is 'teacher', but the teacher is a 'resnet34', as which"):
        check_start_from_teacher(settings, "resnet34")
    check_start_from_teacher(settings, "resnet18")
