"""Slope, intercept and temperature, against scikit-learn's and scipy's fits and by simulation."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from raydr.metrics.recalibration import apply_temperature, calibration_fit, fit_temperature, log_odds


def draw(seed, num_patients, *, slope=1.0, intercept=0.0):
    """Two eyes a patient of almost the same probability; the truth follows ``slope`` and ``intercept``."""
    generator = np.random.default_rng(seed)
    said = 1.5 * generator.normal(size=num_patients).repeat(2) - 1 + 0.2 * generator.normal(size=2 * num_patients)
    # A common uniform makes the two eyes' truths dependent without changing how often each is true.
    truth = generator.random(num_patients).repeat(2) < expit(intercept + slope * said)
    return truth, expit(said), np.arange(num_patients).repeat(2)


def log_loss(truth, logits):
    return np.logaddexp(0, np.where(truth, -logits, logits)).sum()


def test_the_slope_is_that_of_scikit_learns_unpenalised_regression():
    truth, probabilities, patients = draw(0, 150, slope=0.6, intercept=0.5)
    expected = LogisticRegression(C=math.inf, tol=1e-10).fit(logit(probabilities)[:, None], truth).coef_[0, 0]
    assert calibration_fit(truth, probabilities, patients).slope.value == pytest.approx(expected, rel=1e-5)


def test_the_intercept_makes_the_mean_come_true_with_the_slope_held():
    truth, probabilities, patients = draw(1, 150, intercept=-0.8)
    found = calibration_fit(truth, probabilities, patients).intercept.value
    assert expit(found + logit(probabilities)).sum() == pytest.approx(truth.sum())
    assert found < 0


def test_intervals_cover_what_is_true_with_two_eyes_a_patient_and_would_not_without_them():
    """Nominal 95 %: 400 simulations, binomial error 1.1 %."""
    slopes = intercepts = naive = 0
    for seed in range(400):
        truth, probabilities, patients = draw(seed, 150, slope=0.7)
        found = calibration_fit(truth, probabilities, patients).slope
        slopes += found.low <= 0.7 <= found.high
        alone = calibration_fit(truth, probabilities, np.arange(300)).slope
        naive += alone.low <= 0.7 <= alone.high
        truth, probabilities, patients = draw(seed, 150)
        found = calibration_fit(truth, probabilities, patients).intercept
        intercepts += found.low <= 0 <= found.high
    assert 0.92 <= slopes / 400 <= 0.975
    assert 0.92 <= intercepts / 400 <= 0.975
    assert naive / 400 < 0.9


def test_a_model_that_is_sure_and_wrong_now_and_then_has_a_slope_near_zero_and_no_failure():
    generator = np.random.default_rng(2)
    truth = generator.random(200) < 0.3
    probabilities = np.where(generator.random(200) < 0.9, truth, ~truth).astype(float)  # 0 and 1 only
    found = calibration_fit(truth, probabilities, np.arange(200))
    assert 0 < found.slope.low < found.slope.value < found.slope.high < 0.3
    reverse = calibration_fit(~truth, probabilities, np.arange(200))
    assert reverse.slope.value == pytest.approx(-found.slope.value)


def test_the_temperature_minimises_the_log_loss_and_scaling_by_it_leaves_none_to_take():
    truth, probabilities, _ = draw(3, 300, slope=0.5)
    found = fit_temperature(truth, logit(probabilities))
    best = minimize_scalar(lambda t: log_loss(truth, logit(probabilities) / t), bounds=(0.1, 10), method="bounded")
    assert found == pytest.approx(best.x, rel=1e-4)
    scaled = apply_temperature(probabilities, found)
    np.testing.assert_allclose(scaled, expit(logit(probabilities) / found))
    assert fit_temperature(truth, log_odds(scaled)) == pytest.approx(1)


def test_scaling_keeps_the_order_and_what_has_no_probability():
    probabilities = np.array([0.0, 1e-6, 0.3, np.nan, 0.5, 0.999999, 1.0])
    scaled = apply_temperature(probabilities, 3.0)
    assert np.isnan(scaled[3])
    assert (np.diff(scaled[~np.isnan(scaled)]) > 0).all()
    assert scaled[4] == 0.5
    with pytest.raises(ValueError, match="positive number"):
        apply_temperature(probabilities, 0.0)


def test_where_no_temperature_is_the_best_there_is_none():
    truth = np.array([False, False, True, True])
    assert math.isnan(fit_temperature(truth, np.array([-2.0, -1.0, 1.0, 2.0]))), "zero parts the classes"
    assert math.isnan(fit_temperature(truth, np.array([2.0, 1.0, -1.0, -2.0]))), "the reverse of the truth"
    assert math.isnan(fit_temperature(truth, np.zeros(4))), "nothing is told"


@pytest.mark.parametrize("truth", [[], [True], [False, False, False]])
def test_one_class_has_neither_fit_nor_temperature(truth):
    truth = np.array(truth, dtype=bool)
    found = calibration_fit(truth, np.full(len(truth), 0.3), np.arange(len(truth)))
    assert math.isnan(found.slope.value)
    assert math.isnan(found.intercept.low)
    assert math.isnan(fit_temperature(truth, np.zeros(len(truth))))


def test_classes_that_are_apart_and_equal_probabilities_have_an_intercept_but_no_slope():
    truth = np.array([False, False, True, True])
    for probabilities in (np.array([0.1, 0.2, 0.2, 0.9]), np.full(4, 0.2)):
        found = calibration_fit(truth, probabilities, np.arange(4))
        assert math.isnan(found.slope.value)
        assert found.intercept.value > 0
    alone = calibration_fit(truth, np.array([0.1, 0.6, 0.2, 0.9]), np.zeros(4))
    assert math.isnan(alone.intercept.value)


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibration_fit(np.array([True, False]), np.array([0.2, 1.2]), np.arange(2))
    with pytest.raises(ValueError, match="not finite"):
        fit_temperature(np.array([True, False]), np.array([0.2, np.inf]))
