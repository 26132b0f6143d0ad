"""Operating points, against exhaustive search and closed forms."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from raydr.metrics.operating import (
    Proportion,
    at_threshold,
    choose_operating_points,
    predictive_values_at,
    wilson_interval,
)


@pytest.fixture
def tied_scores() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    truth = generator.random(400) < 0.3
    return truth, np.round(generator.normal(size=400) + 1.5 * truth, 1)


def rates(truth, scores, threshold):
    called = scores >= threshold
    return (called & truth).sum() / truth.sum(), (~called & ~truth).sum() / (~truth).sum()


def test_chosen_thresholds_are_the_best_of_every_possible_one(tied_scores):
    truth, scores = tied_scores
    every = [rates(truth, scores, threshold) for threshold in [*np.unique(scores), scores.max() + 1]]
    found = {point.name: rates(truth, scores, point.threshold) for point in choose_operating_points(truth, scores)}
    for floor in (0.98, 0.95):
        sensitivity, specificity = found[f"sensitivity_at_specificity_{floor:.2f}"]
        assert specificity >= floor
        assert sensitivity == max(sens for sens, spec in every if spec >= floor)
    for floor in (0.97, 0.95, 0.90):
        sensitivity, specificity = found[f"specificity_at_sensitivity_{floor:.2f}"]
        assert sensitivity >= floor
        assert specificity == max(spec for sens, spec in every if sens >= floor)
    assert sum(found["youden"]) == pytest.approx(max(sens + spec for sens, spec in every))


def test_a_rate_of_exactly_the_budget_is_within_it():
    truth = np.array([True] * 10 + [False] * 50)
    scores = np.concatenate((np.full(10, 0.5), [0.9], np.zeros(49)))
    point = choose_operating_points(truth, scores)[0]
    assert point.threshold == 0.5


def test_where_nothing_may_be_called_the_threshold_is_finite_and_above_every_score():
    truth, scores = np.array([True, False]), np.array([0.2, 0.9])
    point = choose_operating_points(truth, scores)[0]
    assert math.isfinite(point.threshold)
    assert point.threshold > 0.9


def test_counts_and_shares_at_a_threshold_include_the_threshold_itself():
    figures = at_threshold(np.array([1, 1, 1, 0, 0]), np.array([0.5, 0.9, 0.1, 0.5, 0.2]), 0.5)
    counts = (figures.true_positives, figures.false_positives, figures.true_negatives, figures.false_negatives)
    assert counts == (2, 1, 1, 1)
    shares = (figures.sensitivity.value, figures.specificity.value, figures.ppv.value, figures.npv.value)
    assert shares == pytest.approx((2 / 3, 1 / 2, 2 / 3, 1 / 2))


def test_wilson_bounds_are_where_the_score_test_just_rejects():
    interval = wilson_interval(7 / 20, 20)
    for bound in (interval.low, interval.high):
        statistic = abs(7 / 20 - bound) / math.sqrt(bound * (1 - bound) / 20)
        assert statistic == pytest.approx(NormalDist().inv_cdf(0.975))


def test_a_level_holds_for_every_share(tied_scores):
    truth, scores = tied_scores
    for patients in (None, np.arange(400) // 2):
        half, most = (at_threshold(truth, scores, 1.0, patients=patients, level=level) for level in (0.5, 0.99))
        for share in ("sensitivity", "specificity", "ppv", "npv"):
            one, other = getattr(half, share), getattr(most, share)
            assert other.low < one.low < one.value < one.high < other.high
    alone = at_threshold(truth, scores, 1.0, level=0.5).sensitivity
    assert alone == wilson_interval(alone.value, truth.sum(), level=0.5)


def test_wilson_interval_never_leaves_the_unit_interval_nor_its_own_value():
    for successes in (0, 1, 49, 50):
        interval = wilson_interval(successes / 50, 50)
        assert 0 <= interval.low <= interval.value <= interval.high <= 1


def test_every_patient_twice_gives_the_interval_of_every_patient_once(tied_scores):
    truth, scores = tied_scores
    once = at_threshold(truth, scores, 1.0)
    twice = at_threshold(truth.repeat(2), scores.repeat(2), 1.0, patients=np.arange(400).repeat(2))
    naive = at_threshold(truth.repeat(2), scores.repeat(2), 1.0)
    for share in ("sensitivity", "specificity", "ppv", "npv"):
        single, double = getattr(once, share), getattr(twice, share)
        assert (double.low, double.high) == pytest.approx((single.low, single.high), abs=1e-3)
        assert getattr(naive, share).low > double.low


def test_shares_cover_what_is_true_where_the_eyes_of_a_patient_are_alike_and_would_not_by_the_image():
    """Nominal 95 %, true sensitivity 84 %, 60 patients: 1,000 simulations, binomial error 0.7 %."""
    generator = np.random.default_rng(0)
    patients, every = np.arange(60).repeat(2), np.ones(120)
    true_share, covered, naive = NormalDist().cdf(1), 0, 0
    for _ in range(1000):
        scores = 1 + 0.9 * generator.normal(size=60).repeat(2) + math.sqrt(0.19) * generator.normal(size=120)
        found = at_threshold(every, scores, 0.0, patients=patients).sensitivity
        covered += found.low <= true_share <= found.high
        alone = at_threshold(every, scores, 0.0).sensitivity
        naive += alone.low <= true_share <= alone.high
    assert 0.925 <= covered / 1000 <= 0.975
    assert naive / 1000 < 0.92


def test_a_perfect_share_counts_each_patient_once():
    figures = at_threshold(np.ones(8), np.ones(8), 0.5, patients=np.arange(4).repeat(2))
    assert figures.sensitivity == wilson_interval(1.0, 4)


@pytest.mark.parametrize("truth", [np.zeros(4), np.ones(4), np.zeros(0)])
def test_one_class_gives_nan_thresholds_and_nan_shares(truth):
    scores = np.linspace(0, 1, len(truth))
    assert all(math.isnan(point.threshold) for point in choose_operating_points(truth, scores))
    figures = at_threshold(truth, scores, 0.5)
    assert math.isnan(figures.sensitivity.value) or math.isnan(figures.specificity.value)
    nothing = at_threshold(truth, scores, math.nan)
    assert nothing.true_positives == nothing.true_negatives == nothing.false_negatives == 0
    assert math.isnan(nothing.npv.value)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        at_threshold(np.array([0, 1]), np.array([0.0, np.nan]), 0.5)


def test_predictive_values_at_the_sets_own_prevalence_are_its_own(tied_scores):
    truth, scores = tied_scores
    figures = at_threshold(truth, scores, 1.0)
    found = predictive_values_at(truth.mean(), figures.sensitivity, figures.specificity)
    assert found.ppv.value == pytest.approx(figures.ppv.value)
    assert found.npv.value == pytest.approx(figures.npv.value)
    rare = predictive_values_at(0.05, figures.sensitivity, figures.specificity)
    sensitivity, specificity = figures.sensitivity.value, figures.specificity.value
    assert rare.ppv.value == pytest.approx(0.05 * sensitivity / (0.05 * sensitivity + 0.95 * (1 - specificity)))
    assert rare.npv.value == pytest.approx(0.95 * specificity / (0.95 * specificity + 0.05 * (1 - sensitivity)))
    assert rare.ppv.low < rare.ppv.value < rare.ppv.high < found.ppv.low


def test_intervals_of_predictive_values_cover_as_often_as_they_say():
    """Nominal 95 %, prevalence 10 % where the set has half: 2,000 simulations, binomial error 0.5 %."""
    generator = np.random.default_rng(0)
    true_ppv, true_npv = 0.1 * 0.9 / (0.1 * 0.9 + 0.9 * 0.07), 0.9 * 0.93 / (0.9 * 0.93 + 0.1 * 0.1)
    covered = np.zeros(2)
    for hits, rejections in zip(generator.binomial(80, 0.9, 2000), generator.binomial(80, 0.93, 2000), strict=True):
        found = predictive_values_at(0.1, wilson_interval(hits / 80, 80), wilson_interval(rejections / 80, 80))
        covered += (found.ppv.low <= true_ppv <= found.ppv.high, found.npv.low <= true_npv <= found.npv.high)
    assert (covered / 2000 >= 0.93).all()
    assert (covered / 2000 <= 0.975).all()


def test_predictive_values_of_perfect_and_of_useless_calls_have_bounds_that_are_limits():
    some, perfect, none = wilson_interval(0.8, 50), wilson_interval(1.0, 50), wilson_interval(0.0, 50)
    found = predictive_values_at(0.2, some, perfect).ppv
    almost = predictive_values_at(0.2, some, Proportion(1 - 1e-9, perfect.low, 1.0)).ppv
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(almost.low, abs=1e-3)
    assert found.low == pytest.approx(0.2 * 0.8 / (0.2 * 0.8 + 0.8 * (1 - perfect.low)))
    missed = predictive_values_at(0.2, none, some).ppv
    assert (missed.value, missed.low) == (0, 0)
    assert 0 < missed.high < 0.2
    silent = predictive_values_at(0.2, none, perfect)
    assert math.isnan(silent.ppv.value)
    assert silent.npv.value == pytest.approx(0.8)
    unknown = predictive_values_at(0.2, wilson_interval(math.nan, 0), some)
    assert math.isnan(unknown.ppv.low)
    assert math.isnan(unknown.npv.value)


@pytest.mark.parametrize("prevalence", [0.0, 1.0, -0.1, math.nan])
def test_a_prevalence_that_leaves_one_class_is_refused(prevalence):
    with pytest.raises(ValueError, match="prevalence must be between 0 and 1"):
        predictive_values_at(prevalence, wilson_interval(0.8, 50), wilson_interval(0.9, 50))
