"""The openings of a study's test sets, and whose scores stand."""

from types import SimpleNamespace

import pyarrow as pa
import pytest
import torch

from raydr.engine.package import ModelDescription, save_model
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier
from raydr.study.records import AucFigures
from raydr.tracking.runs import NoTracker
from raydr.workflows.job import Stage
from raydr.workflows.study_tests import _keep, _standing, _write_down, openings


@pytest.fixture
def stage(tmp_path):
    return Stage(str(tmp_path), NoTracker(), "", "d", {})


def test_every_opening_is_written_down_and_one_with_other_settings_is_told(stage, capsys):
    for identity in ("a", "a"):
        _write_down(stage, identity, num_models=3)
    assert "opened before with other settings" not in capsys.readouterr().out
    _write_down(stage, "b", num_models=2)
    assert "what was chosen since then was chosen with their figures in reach" in capsys.readouterr().out
    assert [(one.study, one.num_models) for one in openings(stage)] == [("a", 3), ("a", 3), ("b", 2)]
    assert openings(stage)[0].time.tzinfo is not None


def test_nothing_is_known_of_openings_before_the_first(stage):
    assert openings(stage) == []


@pytest.fixture
def scored(tmp_path):
    """A cell with scores on the images "tests"."""
    trained(tmp_path, seed=0)
    cell = SimpleNamespace(folder=str(tmp_path), identity="one", models=(str(tmp_path / "model"),))
    assert _standing(cell, "tests") is None
    _keep(cell, "tests", pa.table({"image_id": ["a"]}), FIGURES)
    return cell


FIGURES = {"clinic": AucFigures(0.7, 0.1, 0.5, 0.9, 40, 20, 10)}


def trained(folder, *, seed):
    torch.manual_seed(seed)
    network = Classifier(create_backbone("test_resnet"), 1)
    save_model(str(folder / "model"), network, ModelDescription("test_resnet", "binary", Preprocess(side_px=32)))


def test_scores_stand_for_the_cell_and_the_images_that_they_are_of_and_no_other(scored, tmp_path):
    assert _standing(scored, "tests") == FIGURES
    assert _standing(scored, "another test set beside them") is None
    assert _standing(SimpleNamespace(**{**vars(scored), "identity": "two"}), "tests") is None
    (tmp_path / "scores.parquet").unlink()
    assert _standing(scored, "tests") is None


def test_scores_of_a_model_that_was_trained_again_do_not_stand(scored, tmp_path):
    trained(tmp_path, seed=0)
    assert _standing(scored, "tests") == FIGURES
    trained(tmp_path, seed=1)
    assert _standing(scored, "tests") is None


@pytest.mark.parametrize("content", ["", "[]", '{"identity": "one"}', None])
def test_scores_that_are_torn_or_of_another_form_do_not_stand(content, scored, tmp_path):
    file = tmp_path / "scores.json"
    file.write_text(file.read_text()[:60] if content is None else content)
    assert _standing(scored, "tests") is None
