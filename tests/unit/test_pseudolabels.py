"""Prevalence found and put right on data whose truth is known; gates that keep the surest of every class."""

import numpy as np
import pytest

from raydr.pseudolabels import correct_prior, estimate_prior, probabilities, sure_rows


def measured(num_images: int, prevalence: float, *, trained: float, seed: int = 0):
    """Two Gaussian classes one deviation off, and the logit of who was trained at another prevalence."""
    draw = np.random.default_rng(seed)
    is_ill = draw.random(num_images) < prevalence
    score = draw.normal(np.where(is_ill, 1.0, -1.0), 1.0)
    return is_ill, (2 * score + np.log(trained / (1 - trained)))[:, None]


@pytest.mark.parametrize("prevalence", [0.05, 0.288, 0.7])
def test_the_pools_prevalence_is_found_by_a_classifier_of_a_balanced_draw(prevalence):
    _, logits = measured(40_000, prevalence, trained=0.5)
    found = estimate_prior(probabilities(logits), np.array([0.5, 0.5]))
    assert found[1] == pytest.approx(prevalence, abs=0.015)
    naive = probabilities(logits)[:, 1].mean()
    assert abs(naive - prevalence) > 3 * abs(found[1] - prevalence)


def test_corrected_logits_are_those_of_a_classifier_trained_at_the_prevalence():
    _, balanced = measured(100, 0.288, trained=0.5)
    _, right = measured(100, 0.288, trained=0.288)
    moved = correct_prior(balanced, trained_prior=np.array([0.5, 0.5]), prior=np.array([1 - 0.288, 0.288]))
    np.testing.assert_allclose(moved, right, atol=1e-6)


def test_five_grades_are_corrected_by_bayes_rule():
    draw = np.random.default_rng(1)
    logits, old, new = draw.normal(size=(20, 5)), np.full(5, 0.2), np.array([0.7, 0.08, 0.15, 0.03, 0.04])
    weighed = probabilities(logits) * new / old
    moved = correct_prior(logits, trained_prior=old, prior=new)
    np.testing.assert_allclose(probabilities(moved), weighed / weighed.sum(axis=1, keepdims=True), rtol=1e-5)


def test_one_logit_is_two_classes_and_what_is_not_known_stays_so():
    np.testing.assert_allclose(probabilities(np.array([[0.0], [np.log(3)]])), [[0.5, 0.5], [0.25, 0.75]])
    moved = correct_prior(np.array([[np.nan], [0.0]]), trained_prior=np.array([0.5, 0.5]), prior=np.array([0.9, 0.1]))
    assert np.isnan(moved[0, 0])
    assert np.isfinite(moved[1, 0])


def test_a_share_keeps_the_surest_of_each_class_where_one_threshold_would_keep_one_class():
    bold, shy = np.linspace(0.9, 0.99, 80), np.linspace(0.55, 0.7, 20)
    probability = np.concatenate([np.stack([bold, 1 - bold], 1), np.stack([1 - shy, shy], 1)])
    assert sure_rows(probability, least_confidence=0.8)[80:].sum() == 0
    kept = sure_rows(probability, kept_share=0.5)
    assert (kept[:80].sum(), kept[80:].sum()) == (40, 10)
    assert kept[40:80].all()
    assert kept[90:].all()


def test_threshold_and_share_both_hold_and_unknown_rows_are_never_kept():
    probability = np.array([[0.9, 0.1], [0.6, 0.4], [np.nan, np.nan], [0.2, 0.8]])
    assert sure_rows(probability).tolist() == [True, True, False, True]
    assert sure_rows(probability, least_confidence=0.75, kept_share=0.5).tolist() == [True, False, False, True]


@pytest.mark.parametrize("prior", [[0.5, 0.6], [1.0, 0.0], [0.2, 0.3, 0.5]])
def test_frequencies_that_are_none_are_refused(prior):
    with pytest.raises(ValueError, match="2 frequencies above 0 that sum to 1"):
        correct_prior(np.zeros((1, 1)), trained_prior=np.array([0.5, 0.5]), prior=np.array(prior))
    with pytest.raises(ValueError, match="kept_share"):
        sure_rows(np.ones((1, 2)), kept_share=0.0)
