"""A stage of several trainings: each has its folder and its record, and a student of one round teaches the next."""

from contextlib import nullcontext

import pytest
import torch

from raydr import storage
from raydr.config.images import DataSettings
from raydr.config.jobs import DistillSettings
from raydr.config.stages import DistillStage
from raydr.engine.package import ModelDescription, save_model
from raydr.images.preprocess import Preprocess
from raydr.training.teacher import Teacher
from raydr.workflows import learn as learning
from raydr.workflows import rounds
from raydr.workflows.job import Outcome, Stage
from raydr.workflows.learn import Lesson, learn
from raydr.workflows.rounds import distil_in_rounds

DATA = DataSettings(manifest="manifest.parquet")
PREPROCESS = Preprocess(side_px=32)
TEACHER = Teacher("binary", ("first", "other"), "manifest.parquet", "outputs.parquet")


@pytest.fixture
def trained(monkeypatch):
    """The lessons of the trainings that were run; each leaves a model."""
    lessons = []

    def train(stage, _settings, lesson):
        lessons.append(lesson)
        provenance = {**stage.inputs, "settings": stage.settings_digest}
        description = ModelDescription("test_resnet", "binary", PREPROCESS, provenance=provenance)
        save_model(stage.path(lesson.model), torch.nn.Linear(1, 1), description)
        return Outcome({"val_auc": 0.5 + len(lessons) / 10}, {"model": stage.path(lesson.model)})

    monkeypatch.setattr(learning, "_learn", train)
    monkeypatch.setattr(rounds, "rows_of", lambda _data: nullcontext())
    monkeypatch.setattr(
        rounds,
        "teach",
        lambda uri, *, teacher, head, **_: Teacher(head, tuple(teacher), "manifest.parquet", uri),
    )
    return lessons


@pytest.fixture
def settings(tmp_path):
    return DistillSettings(job="distill", out=str(tmp_path), data=DATA, teacher="t", model={"weights": "none"})


@pytest.fixture
def stage(tmp_path):
    return Stage(str(tmp_path), None, "", "digest", {})


def lesson(model="model"):
    return Lesson("distil", DistillStage(), DATA, PREPROCESS, model=model)


def test_a_training_that_finished_before_the_stage_was_cut_off_is_not_run_again(trained, settings, stage, tmp_path):
    first = learn(stage, settings, lesson("round-1"))
    learn(stage, settings, lesson())
    assert learn(stage, settings, lesson("round-1")) == first
    assert [found.model for found in trained] == ["round-1", "model"]
    storage.delete_folder(str(tmp_path / "round-1"))
    learn(stage, settings, lesson("round-1"))
    assert len(trained) == 3


def test_a_training_of_other_settings_in_the_same_folder_does_not_stand_for_it(trained, settings, stage, tmp_path):
    other = Stage(str(tmp_path), None, "", "other digest", {})
    for each in (stage, other, stage, stage):
        learn(each, settings, lesson("round-1"))
    assert len(trained) == 3


def test_a_training_of_other_inputs_in_the_same_folder_does_not_stand_for_it(trained, settings, tmp_path):
    first, other = (Stage(str(tmp_path), None, "", "digest", {"teacher": name}) for name in "ab")
    for each in (first, other, first):
        learn(each, settings, lesson("round-1"))
    assert len(trained) == 3


def test_the_figures_of_the_stages_own_model_have_plain_names():
    assert [lesson(name).prefix for name in ("model", "round-1")] == ["", "round-1/"]


def in_rounds(stage, settings, count, **distillation):
    student = DistillStage.model_validate({"rounds": count, "distillation": distillation})
    return distil_in_rounds(stage, settings, student, data=DATA, preprocess=PREPROCESS, teacher=TEACHER)


def test_each_rounds_student_teaches_the_next_and_every_model_and_figure_is_kept(trained, settings, stage):
    found = in_rounds(stage, settings, 3)
    assert [lesson.model for lesson in trained] == ["round-1", "round-2", "model"]
    folders = [TEACHER.folders, (stage.path("round-1"),), (stage.path("round-2"),)]
    assert [lesson.teacher.folders for lesson in trained] == folders
    assert len({lesson.teacher.outputs for lesson in trained}) == 3
    assert found.artifacts == {
        "model": stage.path("model"),
        "round_1": stage.path("round-1"),
        "round_2": stage.path("round-2"),
    }
    assert [figures["val_auc"] for figures in found.metrics["rounds"]] == [0.6, 0.7, 0.8]
    assert found.metrics["val_auc"] == 0.8


def test_rounds_that_are_done_are_not_run_again(trained, settings, stage, tmp_path):
    first = in_rounds(stage, settings, 2)
    storage.delete_folder(str(tmp_path / "model"))
    again = in_rounds(stage, settings, 2)
    assert [lesson.model for lesson in trained] == ["round-1", "model", "model"]
    assert again.metrics["rounds"][0] == first.metrics["rounds"][0]


def test_one_round_is_a_plain_student(trained, settings, stage):
    found = in_rounds(stage, settings, 1)
    assert (found.artifacts, found.metrics) == ({"model": stage.path("model")}, {"val_auc": 0.6})


def test_only_the_first_teacher_is_put_right_and_one_that_is_asked_leaves_no_outputs(trained, settings, stage):
    in_rounds(stage, settings, 2, targets="online", correct_prior="balanced")
    assert [lesson.section.distillation.correct_prior for lesson in trained] == ["balanced", "none"]
    assert trained[1].teacher.outputs is None
