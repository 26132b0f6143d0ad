"""AUC and its interval, against literal definitions and by simulation."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from raydr.metrics import resampling
from raydr.metrics.bootstrap import auc_interval, auc_resamples
from raydr.metrics.roc import auc, roc_curve


@pytest.fixture
def tied_scores() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    truth = generator.random(200) < 0.3
    return truth, np.round(generator.normal(size=200) + truth, 1)


def test_auc_counts_winning_pairs_and_half_of_ties(tied_scores):
    truth, scores = tied_scores
    gaps = scores[truth][:, None] - scores[~truth][None, :]
    assert auc(truth, scores) == pytest.approx(((gaps > 0) + 0.5 * (gaps == 0)).mean(), abs=1e-12)


def test_auc_and_curve_agree_with_scikit_learn(tied_scores):
    truth, scores = tied_scores
    curve = roc_curve(truth, scores)
    expected_rate, expected_sensitivity, _ = sklearn_roc_curve(truth, scores, drop_intermediate=False)
    assert auc(truth, scores) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    np.testing.assert_allclose(curve.false_positive_rate, expected_rate)
    np.testing.assert_allclose(curve.sensitivity, expected_sensitivity)


def test_a_single_class_has_no_auc_and_says_so():
    interval = auc_interval(np.zeros(5), np.arange(5.0), np.arange(5))
    assert np.isnan(interval.value)
    assert np.isnan(interval.low)
    with pytest.raises(ValueError, match="both classes"):
        roc_curve(np.zeros(5), np.arange(5.0))


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="1 are not finite"):
        auc(np.array([0, 1]), np.array([0.2, np.nan]))


def test_the_resampling_equals_a_loop_that_draws_patients(tied_scores):
    truth, scores = tied_scores
    patients = np.arange(200) // 2
    found = auc_resamples(truth, scores, patients, num_resamples=50, seed=3)
    generator = np.random.default_rng(3)
    for value in found:
        drawn = generator.integers(100, size=100, dtype=np.uint32)
        images = np.concatenate([np.flatnonzero(patients == patient) for patient in drawn])
        assert value == pytest.approx(roc_auc_score(truth[images], scores[images]), abs=1e-12)


def test_the_resamples_are_the_same_in_blocks_of_any_size(tied_scores, monkeypatch):
    truth, scores = (values[:198] for values in tied_scores)  # 99 patients: an odd number of draws a block
    few = auc_resamples(truth, scores, np.arange(198) // 2, num_resamples=51, seed=4)
    monkeypatch.setattr(resampling, "_CELLS_A_BLOCK", 198 * 7)
    np.testing.assert_array_equal(auc_resamples(truth, scores, np.arange(198) // 2, num_resamples=51, seed=4), few)


def test_two_copies_of_every_image_do_not_narrow_the_interval(tied_scores):
    truth, scores = tied_scores
    once = auc_interval(truth, scores, np.arange(200), seed=1)
    twice = auc_interval(np.tile(truth, 2), np.tile(scores, 2), np.tile(np.arange(200), 2), seed=1)
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_the_interval_covers_the_true_auc_about_as_often_as_it_says():
    """Two correlated eyes a patient; nominal 95 %: 200 simulations, expect at least 90 % (binomial error 1.5 %)."""
    generator = np.random.default_rng(0)
    shift, covered = 1.2, 0
    true_auc = 0.802  # Phi(1.2 / sqrt(2)) for unit-variance normals
    for trial in range(200):
        ill = np.repeat(generator.random(100) < 0.4, 2)
        scores = np.sqrt(0.5) * (np.repeat(generator.normal(size=100), 2) + generator.normal(size=200)) + shift * ill
        interval = auc_interval(ill, scores, np.repeat(np.arange(100), 2), num_resamples=300, seed=trial)
        covered += interval.low <= true_auc <= interval.high
    assert 0.90 <= covered / 200 <= 0.995
