"""The table of a study: means and intervals over draws, differences draw by draw, nothing made of what is missing."""

import math
import random
import statistics

import pytest
from scipy import stats

from raydr.metrics.label_efficiency import StudyCell, label_efficiency


def cell(auc, *, arm="imagenet", budget="95", draw=0, seed=0, dataset="clinic", num_labels=95, error=0.02, apart=0.01):
    bounds, counts = (auc - 0.04, auc + 0.04), (664, 332, 120)
    return StudyCell(arm, budget, num_labels, draw, seed, dataset, auc, error, *bounds, *counts, 60, apart)


def drawn(aucs, **options):
    return [cell(auc, draw=draw, **options) for draw, auc in enumerate(aucs)]


def only(cells, **options):
    (row,) = label_efficiency(cells, **options)
    return row


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("aucs", [[0.70, 0.74, 0.73], [0.61, 0.66, 0.63, 0.70, 0.68]])
def test_the_interval_over_draws_is_students(aucs, level):
    found = only(drawn(aucs), level=level).auc
    wanted = stats.t.interval(level, len(aucs) - 1, loc=statistics.fmean(aucs), scale=stats.sem(aucs))
    assert (found.low, found.high) == pytest.approx(wanted, rel=1e-12)
    assert found.mean == pytest.approx(statistics.fmean(aucs))
    assert found.standard_deviation == pytest.approx(statistics.stdev(aucs))
    assert (found.lowest, found.highest, found.num_draws) == (min(aucs), max(aucs), len(aucs))


def test_one_draw_has_no_spread_and_two_have_no_interval():
    one, two = only(drawn([0.7])).auc, only(drawn([0.7, 0.8])).auc
    assert math.isnan(one.standard_deviation)
    assert two.standard_deviation == pytest.approx(math.sqrt(0.005))
    assert all(math.isnan(bound) for bound in (one.low, one.high, two.low, two.high))
    assert (one.mean, one.lowest, one.highest) == (0.7, 0.7, 0.7)


def test_several_trainings_on_a_draw_count_as_their_mean():
    seeded = [cell(auc, draw=draw, seed=seed) for draw in range(3) for seed, auc in enumerate((0.6 + draw / 10, 0.8))]
    row = only([*seeded, cell(0.9, draw=2, seed=2)])
    means = [0.7, 0.75, (0.8 + 0.8 + 0.9) / 3]
    assert row.auc.mean == pytest.approx(statistics.fmean(means))
    assert row.auc.standard_deviation == pytest.approx(statistics.stdev(means))
    assert (row.auc.lowest, row.auc.highest) == pytest.approx((min(means), max(means))), "a draw's figure is its mean"
    assert (row.auc.num_draws, row.num_trainings) == (3, 7)


def test_differences_are_paired_by_draw_and_their_interval_does_not_feel_what_the_draws_share():
    reference, gain = [0.60, 0.75, 0.68], [0.05, 0.03, 0.04]
    others = [auc + more for auc, more in zip(reference, gain, strict=True)]
    rows = label_efficiency([*drawn(reference), *drawn(others, arm="student")], reference="imagenet")
    assert rows[0].difference is None
    found = rows[1].difference
    wanted = stats.t.interval(0.95, 2, loc=0.04, scale=stats.sem(gain))
    assert (found.spread.low, found.spread.high) == pytest.approx(wanted)
    assert (found.spread.lowest, found.spread.highest) == pytest.approx((0.03, 0.05))
    assert rows[1].auc.low < rows[0].auc.mean  # the arms' own intervals overlap


def test_the_draws_that_have_the_sign_of_the_mean_difference_are_counted():
    cells = [*drawn([0.7, 0.7, 0.7]), *drawn([0.6, 0.71, 0.65], arm="worse"), *drawn([0.7, 0.7, 0.7], arm="same")]
    found = {row.arm: row.difference for row in label_efficiency(cells, reference="imagenet")}
    assert found["worse"].spread.mean == pytest.approx(-0.14 / 3)
    assert found["worse"].num_same_sign == 2
    assert found["same"].num_same_sign == 0


def test_the_error_of_a_difference_is_the_mean_over_its_pairs_and_unknown_where_one_is():
    reference = drawn([0.7, 0.7], apart=math.nan)
    pairs = [cell(0.8, arm="student", draw=draw, apart=apart) for draw, apart in ((0, 0.01), (1, 0.03))]
    unpaired = cell(0.8, arm="student", draw=2, apart=math.nan)
    *_, row = label_efficiency([*reference, *pairs, unpaired], reference="imagenet")
    assert row.difference.standard_error == pytest.approx(0.02)
    *_, row = label_efficiency(
        [*reference, pairs[0], cell(0.8, arm="student", draw=1, apart=math.nan)], reference="imagenet"
    )
    assert math.isnan(row.difference.standard_error)


def test_only_draws_that_both_arms_have_are_compared_and_without_one_nothing_is():
    cells = [cell(0.7, draw=0), cell(0.9, draw=1), cell(0.75, arm="student", draw=0), cell(0.1, arm="student", draw=2)]
    apart = [cell(0.8, arm="other", draw=3), cell(0.8, arm="other", budget="47", num_labels=47)]
    rows = label_efficiency([*cells, *apart], reference="imagenet")
    found = {(row.arm, row.budget): row.difference for row in rows}
    assert found["student", "95"].spread.mean == pytest.approx(0.05)
    assert found["student", "95"].spread.num_draws == 1
    assert found["other", "95"] is None
    assert found["other", "47"] is None


def test_the_order_of_the_cells_moves_no_digit():
    generator = random.Random(0)
    cells = [
        cell(generator.random(), arm=arm, draw=draw, seed=seed, error=generator.random())
        for arm in ("imagenet", "student")
        for draw in range(7)
        for seed in range(5)
    ]
    first = label_efficiency(cells, reference="imagenet")
    for _ in range(20):
        generator.shuffle(cells)
        found = label_efficiency(cells, reference="imagenet")
        assert sorted(found, key=lambda row: row.arm) == list(first)


def test_rows_come_by_data_set_then_arm_as_they_were_met_and_by_number_of_labels():
    cells = [
        cell(0.7, arm=arm, budget=budget, num_labels=labels, dataset=dataset)
        for dataset in ("zoo", "abbey")
        for arm in ("scratch", "imagenet")
        for budget, labels in (("all", 4016), ("95", 96), ("473", 472))
    ]
    rows = label_efficiency(cells)
    assert [(row.dataset, row.arm) for row in rows[::3]] == [
        ("zoo", "scratch"),
        ("zoo", "imagenet"),
        ("abbey", "scratch"),
        ("abbey", "imagenet"),
    ]
    assert [row.budget for row in rows[:3]] == ["95", "473", "all"]


def test_labels_and_standard_errors_are_means():
    cells = [cell(0.7, draw=draw, num_labels=94 + draw, error=0.01 * (draw + 1)) for draw in range(3)]
    row = only(cells)
    assert (row.num_labels, row.standard_error, row.num_patients) == (95, pytest.approx(0.02), 332)


def test_an_area_that_is_not_defined_leaves_none_for_the_arm():
    found = only(drawn([0.7, math.nan, 0.8])).auc
    assert math.isnan(found.mean)
    assert math.isnan(found.lowest)
    assert math.isnan(found.high)


def test_a_training_that_is_there_twice_is_refused_by_name():
    with pytest.raises(ValueError, match="imagenet/95/draw-0/seed-0 is there twice on clinic"):
        label_efficiency([cell(0.7), cell(0.8)])


def test_no_cells_have_no_rows():
    assert label_efficiency([]) == ()
