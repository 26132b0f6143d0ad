"""The openings of a study's test sets, and whose scores stand."""

import json
from types import SimpleNamespace

import pyarrow as pa
import pytest

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
    assert "other settings" not in capsys.readouterr().out
    _write_down(stage, "b", num_models=2)
    assert "what was chosen since then was chosen with their figures in reach" in capsys.readouterr().out
    assert [(one.study, one.num_models) for one in openings(stage)] == [("a", 3), ("a", 3), ("b", 2)]
    assert openings(stage)[0].time.tzinfo is not None


def test_nothing_is_known_of_openings_before_the_first(stage):
    assert openings(stage) == []


def test_scores_stand_for_the_cell_that_they_are_of_and_no_other(tmp_path):
    figures = {"clinic": AucFigures(0.7, 0.1, 0.5, 0.9, 40, 20, 10)}
    cell = SimpleNamespace(folder=str(tmp_path), identity="one")
    assert _standing(cell) is None
    _keep(cell, pa.table({"image_id": ["a"]}), figures)
    assert _standing(cell) == figures
    assert json.loads((tmp_path / "scores.json").read_text())["identity"] == "one"
    assert _standing(SimpleNamespace(folder=str(tmp_path), identity="two")) is None
    (tmp_path / "scores.parquet").unlink()
    assert _standing(cell) is None
