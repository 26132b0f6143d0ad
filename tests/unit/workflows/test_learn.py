"""A stage of several trainings: each has its folder, its record and its names for figures."""

import pytest

from raydr import storage
from raydr.config.images import DataSettings
from raydr.config.jobs import DistillSettings
from raydr.config.stages import DistillStage
from raydr.images.preprocess import Preprocess
from raydr.workflows import learn as learning
from raydr.workflows.job import Outcome, Stage
from raydr.workflows.learn import Lesson, learn

DATA = DataSettings(manifest="manifest.parquet")


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """The models trained; each leaves a folder."""
    models = []

    def train(stage, _settings, lesson):
        models.append(lesson.model)
        storage.write_bytes(stage.path(lesson.model, "model.json"), b"{}")
        return Outcome({"val_auc": 0.5 + len(models) / 10}, {"model": stage.path(lesson.model)})

    monkeypatch.setattr(learning, "_learn", train)
    return models


def lesson(model="model"):
    return Lesson("distil", DistillStage(), DATA, Preprocess(side_px=32), model=model)


def test_a_training_that_finished_before_the_stage_was_cut_off_is_not_run_again(trained, tmp_path):
    settings = DistillSettings(job="distill", out=str(tmp_path), data=DATA, teacher="t", model={"weights": "none"})
    stage = Stage(str(tmp_path), None, "", "digest", {})
    first = learn(stage, settings, lesson("round-1"))
    learn(stage, settings, lesson())
    assert learn(stage, settings, lesson("round-1")) == first
    assert trained == ["round-1", "model"]
    learn(Stage(str(tmp_path), None, "", "other digest", {}), settings, lesson("round-1"))
    assert trained == ["round-1", "model", "round-1"]
    storage.delete_folder(str(tmp_path / "round-1"))
    learn(stage, settings, lesson("round-1"))
    assert trained == ["round-1", "model", "round-1", "round-1"]


def test_the_figures_of_the_stages_own_model_have_plain_names():
    assert [lesson(name).prefix for name in ("model", "round-1")] == ["", "round-1/"]
