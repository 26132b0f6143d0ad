"""Calibration bins of equal count, and the Brier score."""

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from raydr.metrics.calibration import adaptive_calibration_bins, brier_score, calibration_bins, calibration_error


def draw(size):
    generator = np.random.default_rng(0)
    probabilities = generator.beta(0.3, 1.5, size)
    return generator.random(size) < probabilities**1.3, probabilities, np.arange(size) // 2


def test_adaptive_bins_hold_equal_numbers_of_images_and_equal_scikit_learns_quantile_bins():
    truth, probabilities, patients = draw(400)
    bins = adaptive_calibration_bins(truth, probabilities, patients, num_bins=8)
    assert [entry.num_images for entry in bins] == pytest.approx([50] * 8, abs=1)
    observed, said = calibration_curve(truth, probabilities, n_bins=8, strategy="quantile")
    np.testing.assert_allclose([entry.observed.value for entry in bins], observed, atol=0.02)
    np.testing.assert_allclose([entry.mean_probability for entry in bins], said, atol=0.02)
    ordered = np.argsort(probabilities)
    pieces = [np.abs(truth[part].mean() - probabilities[part].mean()) for part in np.array_split(ordered, 8)]
    assert calibration_error(bins) == pytest.approx(np.mean(pieces), abs=0.005)


def test_every_image_is_in_one_bin_whose_bounds_hold_it():
    truth, probabilities, patients = draw(300)
    probabilities = np.round(probabilities, 1)
    for make in (calibration_bins, adaptive_calibration_bins):
        bins = make(truth, probabilities, patients)
        assert sum(entry.num_images for entry in bins) == 300
        for entry in bins:
            inside = (probabilities >= entry.low) & (probabilities < entry.high)
            inside |= (probabilities == 1) & (entry.high == 1)
            assert entry.num_images == inside.sum()
            assert entry.mean_probability == pytest.approx(probabilities[inside].mean())


def test_images_of_one_probability_are_one_bin_whatever_their_order():
    truth = np.array([True, False] * 10)
    bins = adaptive_calibration_bins(truth, np.full(20, 0.3), np.arange(20))
    assert [(entry.num_images, entry.observed.value) for entry in bins] == [(20, 0.5)]


def test_brier_is_scikit_learns():
    truth, probabilities, _ = draw(100)
    assert brier_score(truth, probabilities) == pytest.approx(brier_score_loss(truth, probabilities))


def test_no_images_have_no_bins_and_no_error():
    empty = np.array([])
    assert adaptive_calibration_bins(empty, empty, empty) == ()
    assert math.isnan(calibration_error(()))
    assert math.isnan(brier_score(empty, empty))


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        adaptive_calibration_bins(np.array([1]), np.array([1.5]), np.array([0]))
    with pytest.raises(ValueError, match="patients must be a vector of 1"):
        calibration_bins(np.array([1]), np.array([0.5]), np.arange(2))
