"""The standard error of an AUC: DeLong's for one image a patient, and what patients with two eyes make of it."""

import math

import numpy as np
import pytest

from raydr.metrics.bootstrap import auc_resamples
from raydr.metrics.roc import auc
from raydr.metrics.standard_error import auc_standard_error


def draw(seed, num_patients, eyes=1, shared=0.0):
    """Truth, scores and patients; ``shared`` is how much the eyes of a patient have in common."""
    generator = np.random.default_rng(seed)
    patients = np.repeat(np.arange(num_patients), eyes)
    truth = np.repeat(generator.random(num_patients) < 0.4, eyes)
    own, common = generator.normal(size=len(patients)), np.repeat(generator.normal(size=num_patients), eyes)
    return truth, np.round(truth + math.sqrt(1 - shared) * own + math.sqrt(shared) * common, 1), patients


def test_is_delongs_formula_where_every_patient_has_one_image():
    truth, scores, patients = draw(0, 60)
    positive, negative = scores[truth], scores[~truth]
    wins = [[1.0 if x > y else 0.5 if x == y else 0.0 for y in negative] for x in positive]
    of_positive = [sum(row) / len(negative) for row in wins]
    of_negative = [sum(column) / len(positive) for column in zip(*wins, strict=True)]
    variance = np.var(of_positive, ddof=1) / len(positive) + np.var(of_negative, ddof=1) / len(negative)
    # The third term joins what one patient has in both classes; the area is taken out, so that others add nothing.
    assert auc_standard_error(truth, scores, patients) == pytest.approx(math.sqrt(variance))


def test_a_second_copy_of_every_eye_tells_nothing_more():
    truth, scores, patients = draw(1, 80)
    twice = [np.concatenate([values, values]) for values in (truth, scores, patients)]
    assert auc_standard_error(*twice) == pytest.approx(auc_standard_error(truth, scores, patients))
    assert auc_standard_error(twice[0], twice[1], np.arange(160)) < 0.75 * auc_standard_error(*twice)


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_is_the_spread_of_the_auc_over_many_samples_of_patients(shared):
    samples = [draw(seed, 120, eyes=2, shared=shared) for seed in range(400)]
    spread = np.std([auc(truth, scores) for truth, scores, _ in samples])
    stated = np.mean([auc_standard_error(*sample) for sample in samples])
    assert stated == pytest.approx(spread, rel=0.1)


def test_agrees_with_the_bootstrap_of_patients_who_have_an_eye_in_each_class():
    generator = np.random.default_rng(3)
    patients, truth = np.repeat(np.arange(150), 2), np.tile([True, False], 150)
    scores = truth + 0.4 * generator.normal(size=300) + np.repeat(generator.normal(size=150), 2)
    resamples = auc_resamples(truth, scores, patients, num_resamples=4000, seed=0)
    found = auc_standard_error(truth, scores, patients)
    assert found == pytest.approx(resamples.std(), rel=0.1)
    assert found < 0.75 * auc_standard_error(truth, scores, np.arange(300))  # a patient's two eyes move together


@pytest.mark.parametrize("truth", [[True, True, True], [False, False, False], [True, False, False], []])
def test_there_is_none_where_a_class_has_fewer_than_two_patients(truth):
    found = auc_standard_error(np.array(truth, dtype=bool), np.arange(len(truth)) / 3, np.arange(len(truth)))
    assert math.isnan(found)
