"""Groups of a data set, and images that cannot be graded: each row against the same images taken alone."""

import math

import numpy as np
import pytest

from raydr.metrics.bootstrap import auc_interval
from raydr.metrics.delong import delong_interval
from raydr.metrics.operating import at_threshold
from raydr.metrics.subgroups import quantile_groups, subgroups
from raydr.metrics.ungradable import ungradable_ways


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    grade = generator.integers(0, 5, 120)
    probability = np.round(1 / (1 + np.exp(2 - grade - generator.normal(size=120))), 2)
    return grade, probability, np.arange(120) // 2


def test_every_group_has_the_figures_of_its_own_images(images):
    grade, probability, patients = images
    eye = np.array(["left", "right", "left"] * 40)
    camera = np.array(["b", "", "a", "a"] * 30)
    found = subgroups({"eye": eye, "camera": camera}, grade >= 2, probability, patients, 0.5)
    expected = [("eye", "left"), ("eye", "right"), ("camera", "a"), ("camera", "b"), ("camera", "unknown")]
    assert [(row.factor, row.group) for row in found] == expected
    for row in found:
        groups = eye if row.factor == "eye" else camera
        inside = groups == ("" if row.group == "unknown" else row.group)
        of_group = grade[inside] >= 2, probability[inside]
        assert row.auc == delong_interval(*of_group, patients=patients[inside])
        assert row.point == at_threshold(*of_group, 0.5, patients=patients[inside])


def test_a_group_of_one_class_has_no_auc_and_one_group_is_no_factor(images):
    grade, probability, patients = images
    rows = subgroups(
        {"dataset": np.full(120, "one"), "ill": (grade >= 2).astype(str)}, grade >= 2, probability, patients, math.nan
    )
    assert [row.factor for row in rows] == ["ill", "ill"]
    assert all(math.isnan(row.auc.value) and math.isnan(row.point.sensitivity.value) for row in rows)
    assert subgroups({"eye": np.array([], dtype=str)}, grade[:0], probability[:0], patients[:0], 0.5) == ()
    with pytest.raises(ValueError, match="eye: must be a vector of 120"):
        subgroups({"eye": np.array(["left"])}, grade >= 2, probability, patients, 0.5)


def test_quantile_groups_cut_a_number_into_parts_of_equal_size_and_name_their_ends():
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, np.nan])
    assert quantile_groups(values).tolist() == [
        "1: 0.1 to 0.2",
        "1: 0.1 to 0.2",
        "2: 0.3 to 0.4",
        "2: 0.3 to 0.4",
        "3: 0.5 to 0.6",
        "3: 0.5 to 0.6",
        "",
    ]
    assert set(quantile_groups(np.array([0.5, 0.5, 0.5, 0.7])).tolist()) == {"1: 0.5 to 0.5", "2: 0.7 to 0.7"}
    assert quantile_groups(np.full(2, np.nan)).tolist() == ["", ""]
    assert quantile_groups(np.array([])).tolist() == []


def test_ungradable_images_are_left_out_kept_or_referred(images):
    grade, probability, patients = images
    gradable = np.arange(120) % 5 != 0
    grade[:10], probability[10:20] = -1, np.nan
    ways = {row.way: row for row in ungradable_ways(grade, probability, gradable, patients, 0.5, num_resamples=100)}
    scored = np.isfinite(probability)
    scores = dict.fromkeys(("gradable", "all"), probability)
    scores["refer"] = np.where(gradable & scored, probability, 1.01)
    for way, inside in (("gradable", gradable & scored), ("all", scored), ("refer", np.ones(120, dtype=bool))):
        judged = inside & (grade >= 0)
        row, of_way = ways[way], (grade[judged] >= 2, scores[way][judged])
        assert row.point == at_threshold(*of_way, 0.5, patients=patients[judged])
        assert row.auc == auc_interval(*of_way, patients[judged], num_resamples=100)
        assert row.referred.value == pytest.approx((scores[way][inside] >= 0.5).mean())
        assert (row.num_images, row.num_without_truth) == (inside.sum(), (inside & (grade < 0)).sum())
    assert ways["refer"].point.sensitivity.value >= ways["all"].point.sensitivity.value
    assert ways["refer"].num_without_truth == 10


def test_where_all_can_be_graded_the_three_ways_are_one(images):
    one, two, three = ungradable_ways(*images[:2], np.ones(120, dtype=bool), images[2], 0.5, num_resamples=50)
    assert one.auc == two.auc == three.auc
    assert one.point == two.point == three.point


@pytest.mark.parametrize("size", [0, 1])
def test_the_smallest_sets_have_figures_or_none(size):
    for row in ungradable_ways(
        np.full(size, -1), np.full(size, np.nan), np.zeros(size, dtype=bool), np.arange(size), 0.5
    ):
        assert math.isnan(row.auc.value)
        assert math.isnan(row.point.sensitivity.value)
    assert row.num_images == row.num_without_truth == size
    assert row.referred.value == 1 or size == 0
