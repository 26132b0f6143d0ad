"""Quadratic kappa, against scikit-learn and its fixed values."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from raydr.metrics.kappa import confusion_matrix, kappa_interval, quadratic_kappa


@pytest.fixture
def grades() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    truth = generator.choice(5, size=300, p=[0.73, 0.07, 0.15, 0.03, 0.02])
    return truth, np.clip(truth + generator.integers(-1, 2, size=300), 0, 4)


def test_kappa_and_matrix_agree_with_scikit_learn(grades):
    truth, predicted = grades
    assert quadratic_kappa(truth, predicted) == pytest.approx(cohen_kappa_score(truth, predicted, weights="quadratic"))
    np.testing.assert_array_equal(
        confusion_matrix(truth, predicted), sklearn_confusion_matrix(truth, predicted, labels=range(5))
    )


def test_perfect_agreement_is_one_and_reversed_grades_are_minus_one():
    grades = np.arange(5)
    assert quadratic_kappa(grades, grades) == 1
    assert quadratic_kappa(grades, grades[::-1]) == pytest.approx(-1)


def test_independent_grades_agree_no_better_than_chance():
    truth, predicted = np.meshgrid(np.arange(5), np.arange(5))
    assert quadratic_kappa(truth.ravel(), predicted.ravel()) == pytest.approx(0)


def test_grades_that_do_not_occur_leave_kappa_unchanged(grades):
    truth, predicted = grades
    assert quadratic_kappa(truth, predicted, num_grades=9) == pytest.approx(quadratic_kappa(truth, predicted))


@pytest.mark.parametrize("num_images", [0, 6])
def test_one_and_the_same_grade_everywhere_has_no_kappa(num_images):
    assert np.isnan(quadratic_kappa(np.full(num_images, 2), np.full(num_images, 2)))


def test_an_unlabelled_image_is_refused():
    with pytest.raises(ValueError, match="1 values are not grades 0 to 4"):
        confusion_matrix(np.array([0, -1]), np.array([0, 1]))


def test_the_interval_equals_resampling_patients_one_at_a_time(grades):
    truth, predicted = grades
    patients = np.arange(300) // 2
    found = kappa_interval(truth, predicted, patients, num_resamples=60, seed=5)
    generator, values = np.random.default_rng(5), []
    for _ in range(60):
        drawn = generator.integers(150, size=150, dtype=np.uint32)
        images = np.concatenate([np.flatnonzero(patients == each) for each in drawn])
        values.append(cohen_kappa_score(truth[images], predicted[images], weights="quadratic"))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    assert found.value == pytest.approx(cohen_kappa_score(truth, predicted, weights="quadratic"))


@pytest.mark.parametrize("num_images", [0, 1, 6])
def test_the_interval_is_not_defined_where_kappa_is_not(num_images):
    found = kappa_interval(np.full(num_images, 2), np.full(num_images, 2), np.arange(num_images))
    assert np.isnan([found.value, found.low, found.high]).all()
