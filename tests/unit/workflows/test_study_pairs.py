"""The error of a difference between two arms of a study, from the scores that their cells left."""

import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raydr.config.grid import CellName
from raydr.metrics.comparison import auc_difference
from raydr.metrics.label_efficiency import VALIDATION
from raydr.workflows.study_pairs import difference_errors

NUM_IMAGES = 60
GRADE = np.random.default_rng(1).integers(0, 5, NUM_IMAGES)
PATIENT = np.repeat([f"p{number}" for number in range(NUM_IMAGES // 2)], 2)
PLACE = np.repeat(["clinic", "camera", "clinic"], NUM_IMAGES // 3)
SPLIT = np.repeat(["test", "test", "val"], NUM_IMAGES // 3)


@pytest.fixture
def cell(tmp_path):
    """What makes a cell with scores of its own."""

    def made(arm, *, budget="95", draw=0, unreadable=(), grade=GRADE):
        name = CellName(arm, budget, draw, 0)
        probability = np.random.default_rng([len(arm), draw]).random(NUM_IMAGES)
        columns = {
            "image_id": [f"image-{number}" for number in range(NUM_IMAGES)],
            "probability": [None if number in unreadable else value for number, value in enumerate(probability)],
            "dataset": PLACE.tolist(),
            "split": SPLIT.tolist(),
            "patient": PATIENT.tolist(),
            "has_patient": [True] * NUM_IMAGES,
            "grade": grade.tolist(),
        }
        unknown = dict.fromkeys(("eye", "exam", "gradable", "quality", "camera", "exam_referable"))
        table = pa.table(columns | {key: pa.nulls(NUM_IMAGES) for key in unknown})
        folder = tmp_path / str(name)
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "scores.parquet")
        return SimpleNamespace(name=name, folder=str(folder), probability=probability)

    return made


def errors(cells, *, reference="imagenet", scored=None):
    return difference_errors(cells, [str(cell.name) for cell in cells] if scored is None else scored, reference)


def half_width(first, second, chosen):
    found = auc_difference(
        GRADE[chosen] >= 2, first.probability[chosen], second.probability[chosen], PATIENT[chosen], level=0.95
    )
    return (found.high - found.low) / 2


def test_it_is_that_of_the_paired_comparison_on_each_test_set_and_on_the_validation_patients(cell):
    ours, theirs = cell("student"), cell("imagenet")
    found = errors([ours, theirs])
    sets = {"clinic": (PLACE == "clinic") & (SPLIT == "test"), "camera": PLACE == "camera", VALIDATION: SPLIT == "val"}
    assert found.keys() == {(str(ours.name), dataset) for dataset in sets}
    for dataset, chosen in sets.items():
        assert found[str(ours.name), dataset] * 1.959964 == pytest.approx(half_width(ours, theirs, chosen), rel=1e-6)


def test_images_that_one_of_the_two_could_not_score_are_left_out_of_the_pair(cell):
    ours, theirs = cell("student", unreadable=[0, 3]), cell("imagenet", unreadable=[5])
    chosen = (PLACE == "clinic") & (SPLIT == "test") & ~np.isin(np.arange(NUM_IMAGES), [0, 3, 5])
    found = errors([ours, theirs])[str(ours.name), "clinic"]
    assert found * 1.959964 == pytest.approx(half_width(ours, theirs, chosen), rel=1e-6)


def test_only_models_of_the_same_draw_whose_scores_both_stand_are_paired(cell):
    cells = [cell("imagenet"), cell("student"), cell("student", draw=1), cell("student", budget="all")]
    assert {name for name, _ in errors(cells)} == {"student/95/draw-0/seed-0"}
    assert errors(cells, scored=["student/95/draw-0/seed-0"]) == {}
    assert errors(cells, reference=None) == {}


def test_where_one_class_is_all_there_is_no_error(cell):
    healthy = np.zeros_like(GRADE)
    found = errors([cell("imagenet", grade=healthy), cell("student", grade=healthy)])
    assert len(found) == 3
    assert all(math.isnan(value) for value in found.values())
