"""Formula intervals of an AUC: as often right as they say, also where the data have no spread."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from raydr.metrics.bootstrap import auc_interval
from raydr.metrics.delong import delong_interval
from raydr.metrics.newcombe import newcombe_bounds
from raydr.metrics.roc import auc
from raydr.metrics.standard_error import auc_standard_error

LIMIT = NormalDist().inv_cdf(0.975)


def draw(seed, num_patients, *, eyes=1, shift=1.5, shared=0.6):
    generator = np.random.default_rng(seed)
    truth = np.repeat(generator.random(num_patients) < 0.4, eyes)
    own, common = generator.normal(size=len(truth)), np.repeat(generator.normal(size=num_patients), eyes)
    scores = shift * truth + math.sqrt(1 - shared) * own + math.sqrt(shared) * common
    return truth, scores, np.repeat(np.arange(num_patients), eyes)


def test_on_the_scale_of_log_odds_the_interval_is_value_plus_and_minus_its_standard_error():
    truth, scores, patients = draw(0, 60, eyes=2)
    found = delong_interval(truth, scores, patients=patients)
    error = auc_standard_error(truth, scores, patients) / (found.value * (1 - found.value))
    logit = [math.log(each / (1 - each)) for each in (found.low, found.value, found.high)]
    assert logit == pytest.approx([logit[1] - LIMIT * error, logit[1], logit[1] + LIMIT * error])
    assert (found.num_images, found.num_patients, found.num_positive) == (120, 60, truth.sum())
    assert delong_interval(truth, scores).low > found.low  # two eyes of a patient are not two patients


@pytest.mark.parametrize("eyes", [1, 2])
def test_it_covers_the_true_auc_as_often_as_it_says_with_few_patients_and_a_high_auc(eyes):
    """Nominal 95 %, true AUC 0.92, about 12 positive patients of 30: 1,000 simulations, binomial error 0.7 %."""
    truth_of_all = NormalDist().cdf(2 / math.sqrt(2))
    covered = 0
    for seed in range(1000):
        truth, scores, patients = draw(seed, 30, eyes=eyes, shift=2.0)
        found = delong_interval(truth, scores, patients=patients)
        covered += found.low <= truth_of_all <= found.high
    assert 0.93 <= covered / 1000 <= 0.975


def test_newcombes_bounds_are_where_the_score_test_with_hanley_and_mcneils_variance_just_rejects():
    for area, m, n in ((0.9, 12, 30), (1.0, 8, 8), (0.5, 20, 5)):
        for bound in newcombe_bounds(area, m, n):
            if bound in (0.0, 1.0):
                assert bound == area
                continue
            # Hanley and McNeil (doi:10.1148/radiology.143.1.7063747), the classes' sizes replaced by their mean.
            size = (m + n) / 2 - 1
            one, two = bound / (2 - bound) - bound**2, 2 * bound**2 / (1 + bound) - bound**2
            variance = (bound * (1 - bound) + size * (one + two)) / (m * n)
            assert abs(bound - area) / math.sqrt(variance) == pytest.approx(LIMIT)


@pytest.mark.parametrize("interval", [delong_interval, auc_interval])
def test_classes_that_are_apart_are_worth_no_more_than_their_patients(interval):
    few, many = (np.repeat([False, True], size) for size in (5, 50))
    for truth in (few, many):
        found = interval(truth, truth + 0.5, patients=np.arange(len(truth)))
        assert (found.value, found.high) == (1, 1)
        assert found.low == pytest.approx(newcombe_bounds(1.0, len(truth) // 2, len(truth) // 2)[0])
    copies = interval(few.repeat(4), few.repeat(4) + 0.5, patients=np.arange(10).repeat(4))
    assert copies.low == pytest.approx(newcombe_bounds(1.0, 5, 5)[0])
    assert 0.6 < copies.low < 0.9


@pytest.mark.parametrize("interval", [delong_interval, auc_interval])
def test_the_smallest_sets_and_constant_scores_have_wide_intervals_or_none(interval):
    pair = interval(np.array([True, False]), np.array([0.2, 0.1]), patients=np.arange(2))
    assert (pair.value, pair.high) == (1, 1)
    assert pair.low < 0.3
    tied = interval(np.array([True, False] * 4), np.zeros(8), patients=np.arange(8))
    assert tied.value == 0.5
    assert tied.low < 0.3
    assert tied.high > 0.7
    for truth in ([], [True], [False, False]):
        found = interval(np.array(truth, dtype=bool), np.zeros(len(truth)), patients=np.arange(len(truth)))
        assert math.isnan(found.value)
        assert math.isnan(found.low)


def test_formula_and_bootstrap_agree_on_a_large_set():
    truth, scores, patients = draw(4, 400, eyes=2)
    formula, resampled = delong_interval(truth, scores, patients=patients), auc_interval(truth, scores, patients)
    assert formula.value == resampled.value == auc(truth, scores)
    assert (formula.low, formula.high) == pytest.approx((resampled.low, resampled.high), abs=0.004)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="1 are not finite"):
        delong_interval(np.array([True, False]), np.array([0.1, math.inf]))
