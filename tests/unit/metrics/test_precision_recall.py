"""Precision and recall: against scikit-learn, and resample by resample."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics import precision_recall_curve as sklearn_curve

from raydr.metrics.precision_recall import (
    average_precision,
    average_precision_interval,
    precision_recall_band,
    precision_recall_curve,
)


@pytest.fixture
def tied_scores():
    generator = np.random.default_rng(1)
    truth = generator.random(200) < 0.25
    return truth, np.round(generator.normal(size=200) + truth, 1), np.arange(200) // 2


def resamples(patients, num_resamples, seed):
    """The images of each resample, drawn one at a time."""
    generator, names = np.random.default_rng(seed), np.unique(patients)
    for _ in range(num_resamples):
        drawn = generator.integers(len(names), size=len(names), dtype=np.uint32)
        yield np.concatenate([np.flatnonzero(patients == names[each]) for each in drawn])


def literal_precision(truth, scores, recalls):
    """At the highest threshold that reaches each recall."""
    found = []
    for wanted in recalls:
        for threshold in np.unique(scores)[::-1]:
            called = scores >= threshold
            hits = (called & truth).sum()
            if hits and hits / truth.sum() >= wanted - 1e-12:
                found.append(hits / called.sum())
                break
    return found


def test_curve_and_average_equal_scikit_learn(tied_scores):
    truth, scores, _ = tied_scores
    found = precision_recall_curve(truth, scores)
    precision, recall, threshold = sklearn_curve(truth, scores)
    np.testing.assert_allclose(found.precision, precision[-2::-1])
    np.testing.assert_allclose(found.recall, recall[-2::-1])
    np.testing.assert_allclose(found.threshold, threshold[::-1])
    assert average_precision(truth, scores) == pytest.approx(average_precision_score(truth, scores), abs=1e-12)


def test_constant_scores_reach_the_prevalence(tied_scores):
    truth = tied_scores[0]
    assert average_precision(truth, np.zeros(200)) == pytest.approx(truth.mean())


def test_the_interval_equals_resampling_one_at_a_time(tied_scores):
    truth, scores, patients = tied_scores
    found = average_precision_interval(truth, scores, patients, num_resamples=60, seed=2)
    literal = [average_precision_score(truth[one], scores[one]) for one in resamples(patients, 60, 2)]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(literal, [0.025, 0.975])), abs=1e-12)
    assert found.value == pytest.approx(average_precision_score(truth, scores))


def test_the_band_equals_resampling_one_at_a_time(tied_scores):
    truth, scores, patients = tied_scores
    found = precision_recall_band(truth, scores, patients, num_resamples=30, num_points=21, seed=3)
    literal = [literal_precision(truth[one], scores[one], found.recall) for one in resamples(patients, 30, 3)]
    low, high = np.quantile(literal, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(found.low, low)
    np.testing.assert_allclose(found.high, high)
    np.testing.assert_allclose(found.precision, literal_precision(truth, scores, found.recall))


def test_the_interval_covers_the_true_value_about_as_often_as_it_says():
    """Nominal 95 %, two alike eyes a patient: 200 simulations, binomial error 1.5 %."""

    def draw(generator, num_patients):
        truth = np.repeat(generator.random(num_patients) < 0.3, 2)
        noise = np.repeat(generator.normal(size=num_patients), 2) + generator.normal(size=2 * num_patients)
        return truth, 1.2 * truth + noise / math.sqrt(2)

    true_value = average_precision(*draw(np.random.default_rng(9), 200_000))
    covered = 0
    for seed in range(200):
        truth, scores = draw(np.random.default_rng(seed), 150)
        found = average_precision_interval(truth, scores, np.arange(150).repeat(2), num_resamples=300)
        covered += found.low <= true_value <= found.high
    assert 0.89 <= covered / 200 <= 0.99


def test_positives_alone_are_found_with_certainty():
    found = average_precision_interval(np.ones(6), np.arange(6), np.arange(6))
    assert (found.value, found.low, found.high) == (1, 1, 1)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_without_positives_there_is_none_and_no_curve(size):
    truth, scores = np.zeros(size), np.arange(size) / 5
    found = average_precision_interval(truth, scores, np.arange(size))
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    for curve in (precision_recall_curve, lambda *both: precision_recall_band(*both, np.arange(size))):
        with pytest.raises(ValueError, match="needs positive images"):
            curve(truth, scores)
