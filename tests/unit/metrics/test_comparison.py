"""The paired difference of two AUCs: against DeLong's formula written out, and as often right as it says."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from raydr.metrics.bootstrap import auc_resamples
from raydr.metrics.comparison import auc_difference, bootstrap_auc_difference
from raydr.metrics.standard_error import auc_standard_error


def draw(seed, num_patients, *, eyes=2, shift=(1.2, 1.2), shared=0.5, mixed=False):
    """Truth, two models' scores and patients; a patient's eyes and the two models have noise in common.

    ``shared`` is the part of the noise that eyes share and the part that models share. With ``mixed`` the eyes of a
    patient need not be of one class.
    """
    generator = np.random.default_rng(seed)
    patients = np.repeat(np.arange(num_patients), eyes)
    truth = generator.random(len(patients)) < 0.4 if mixed else np.repeat(generator.random(num_patients) < 0.4, eyes)

    def noise():
        own, common = generator.normal(size=len(patients)), np.repeat(generator.normal(size=num_patients), eyes)
        return math.sqrt(1 - shared) * own + math.sqrt(shared) * common

    both = noise()
    first, second = (
        np.round(step * truth + math.sqrt(shared) * both + math.sqrt(1 - shared) * noise(), 2) for step in shift
    )
    return truth, first, second, patients


def literal_wins(truth, scores):
    """[positives, negatives]: 1 for a pair in the right order, half for a tie."""
    gaps = scores[truth][:, None] - scores[~truth][None, :]
    return (gaps > 0) + 0.5 * (gaps == 0)


def literal_delong_p(truth, first, second):
    """DeLong, DeLong and Clarke-Pearson (1988) by their covariance matrix, one image a patient."""
    wins = [literal_wins(truth, scores) for scores in (first, second)]
    by_positive = np.cov([one.mean(axis=1) for one in wins]) / truth.sum()
    by_negative = np.cov([one.mean(axis=0) for one in wins]) / (~truth).sum()
    contrast = np.array([1, -1])
    error = math.sqrt(contrast @ (by_positive + by_negative) @ contrast)
    value = wins[0].mean() - wins[1].mean()
    return value, error, 2 * NormalDist().cdf(-abs(value) / error)


def literal_obuchowski_variance(truth, first, second, patients):
    """Obuchowski (1997): var A1 + var A2 - 2 cov, each a sum over patients of their images' excess wins."""
    wins = [literal_wins(truth, scores) for scores in (first, second)]
    names, m, n = np.unique(patients), truth.sum(), (~truth).sum()
    ten = [[(w.mean(1) - w.mean())[patients[truth] == name].sum() for name in names] for w in wins]
    one = [[(w.mean(0) - w.mean())[patients[~truth] == name].sum() for name in names] for w in wins]
    with_positive, with_negative = len(np.unique(patients[truth])), len(np.unique(patients[~truth]))

    def covariance(r, s):
        cross = np.dot(ten[r], one[s]) + np.dot(ten[s], one[r])
        return (
            with_positive / ((with_positive - 1) * m**2) * np.dot(ten[r], ten[s])
            + with_negative / ((with_negative - 1) * n**2) * np.dot(one[r], one[s])
            + len(names) / ((len(names) - 1) * m * n) * cross
        )

    return covariance(0, 0) + covariance(1, 1) - 2 * covariance(0, 1)


def test_one_image_a_patient_gives_delongs_test():
    truth, first, second, patients = draw(0, 90, eyes=1, shift=(1.4, 0.9))
    value, error, p_value = literal_delong_p(truth, first, second)
    found = auc_difference(truth, first, second, patients, level=0.9)
    assert found.value == pytest.approx(value)
    assert found.value == pytest.approx(roc_auc_score(truth, first) - roc_auc_score(truth, second))
    # A patient with images of one class has no part in the third term, except that both classes' excess sums to zero.
    assert found.p_value == pytest.approx(p_value)
    half = NormalDist().inv_cdf(0.95) * error
    assert (found.low, found.high) == pytest.approx((value - half, value + half))
    assert (found.num_images, found.num_patients, found.num_positive) == (90, 90, truth.sum())


def test_several_images_a_patient_give_obuchowskis_variance():
    truth, first, second, patients = draw(1, 70, eyes=3, mixed=True)
    found = auc_difference(truth, first, second, patients)
    error = (found.high - found.low) / (2 * NormalDist().inv_cdf(0.975))
    assert error**2 == pytest.approx(literal_obuchowski_variance(truth, first, second, patients))


def test_a_second_copy_of_every_image_changes_neither_bound_nor_p():
    truth, first, second, patients = draw(2, 80, eyes=1, shift=(1.5, 1.0))
    once = auc_difference(truth, first, second, patients)
    twice = auc_difference(*(np.tile(values, 2) for values in (truth, first, second, patients)))
    assert (twice.low, twice.high, twice.p_value) == pytest.approx((once.low, once.high, once.p_value))


def test_exchanging_the_models_turns_the_difference_round():
    truth, first, second, patients = draw(3, 60)
    for compare in (auc_difference, bootstrap_auc_difference):
        one, other = compare(truth, first, second, patients), compare(truth, second, first, patients)
        assert (other.value, other.low, other.high) == pytest.approx((-one.value, -one.high, -one.low))
        assert other.p_value == pytest.approx(one.p_value)


def test_pairing_is_worth_more_than_two_separate_intervals():
    truth, first, second, patients = draw(4, 200, shared=0.9)
    found = auc_difference(truth, first, second, patients)
    apart = math.hypot(*(auc_standard_error(truth, scores, patients) for scores in (first, second)))
    assert found.high - found.low < 0.7 * 2 * NormalDist().inv_cdf(0.975) * apart


def test_the_bootstrap_judges_both_models_on_the_same_resamples():
    truth, first, second, patients = draw(5, 40, shift=(1.6, 1.0), mixed=True)
    found = bootstrap_auc_difference(truth, first, second, patients, num_resamples=300, seed=7)
    lead = np.subtract(
        *(auc_resamples(truth, scores, patients, num_resamples=300, seed=7) for scores in (first, second))
    )
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(lead, [0.025, 0.975])))
    assert found.p_value == pytest.approx(2 * ((lead <= 0).sum() + 1) / 301)


def test_bootstrap_and_formula_agree():
    truth, first, second, patients = draw(6, 200, shift=(1.3, 1.0), mixed=True)
    formula = auc_difference(truth, first, second, patients)
    resampled = bootstrap_auc_difference(truth, first, second, patients)
    assert resampled.value == formula.value
    assert (resampled.low, resampled.high) == pytest.approx((formula.low, formula.high), abs=0.006)


def test_intervals_cover_and_equal_models_are_told_apart_as_rarely_as_stated():
    """Nominal 95 % and 5 %: 1,000 simulations; binomial error 0.7 %."""
    true_difference = NormalDist().cdf(1.2 / math.sqrt(2)) - NormalDist().cdf(0.8 / math.sqrt(2))
    rejected = covered = 0
    for seed in range(1000):
        rejected += auc_difference(*draw(seed, 80)).p_value < 0.05
        found = auc_difference(*draw(seed, 80, shift=(1.2, 0.8)))
        covered += found.low <= true_difference <= found.high
    assert 0.03 <= rejected / 1000 <= 0.075
    assert 0.925 <= covered / 1000 <= 0.97


def test_the_bootstrap_tells_equal_models_apart_as_rarely_as_stated():
    """Nominal 5 %: 300 simulations, binomial error 1.3 %."""
    found = [bootstrap_auc_difference(*draw(seed, 80), num_resamples=400) for seed in range(300)]
    rejected = np.mean([one.p_value < 0.05 for one in found])
    assert 0.02 <= rejected <= 0.09
    covered = np.mean([one.low <= 0 <= one.high for one in found])
    assert 0.91 <= covered <= 0.98


def test_a_model_is_as_good_as_itself():
    truth, first, _, patients = draw(8, 40)
    for compare in (auc_difference, bootstrap_auc_difference):
        found = compare(truth, first, first, patients)
        assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_without_a_spread_unequal_areas_have_no_bounds():
    truth = np.array([False, False, True, True])
    found = auc_difference(truth, truth.astype(float), np.zeros(4), np.arange(4))
    assert found.value == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.p_value)


@pytest.mark.parametrize("compare", [auc_difference, bootstrap_auc_difference])
@pytest.mark.parametrize("truth", [[], [True], [False, False, False]])
def test_one_class_has_no_difference(compare, truth):
    scores = np.arange(len(truth)) / 4
    found = compare(np.array(truth, dtype=bool), scores, scores[::-1], np.arange(len(truth)))
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert math.isnan(found.p_value)
    assert found.num_images == len(truth)


@pytest.mark.parametrize("compare", [auc_difference, bootstrap_auc_difference])
def test_what_does_not_fit_together_is_refused(compare):
    truth, scores = np.array([True, False]), np.array([0.1, 0.2])
    with pytest.raises(ValueError, match="1 are not finite"):
        compare(truth, scores, np.array([0.1, np.nan]), np.arange(2))
    with pytest.raises(ValueError, match="vectors of one length"):
        compare(truth, scores, np.array([0.1]), np.arange(2))
    with pytest.raises(ValueError, match="patients must be a vector of 2"):
        compare(truth, scores, scores, np.arange(3))
