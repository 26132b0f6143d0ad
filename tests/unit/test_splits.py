"""Splits and budgets by patient."""

import itertools

import numpy as np
import pytest

from raydr.errors import InputError
from raydr.splits import (
    VOETS,
    VoetsCounts,
    deal_fold,
    deal_patients,
    digest_of,
    draw_budget,
    stratified_order,
    voets_split,
)


@pytest.fixture
def cohort() -> tuple[list[str], list[int]]:
    generator = np.random.default_rng(0)
    patients, grades = [], []
    for patient in range(500):
        grade = int(generator.choice(5, p=[0.7, 0.1, 0.14, 0.04, 0.02]))
        for _ in range(generator.integers(1, 4)):
            patients.append(f"p{patient}")
            grades.append(grade)
    return patients, grades


def test_splits_share_no_patient_and_keep_the_share_of_referable(cohort):
    patients, grades = cohort
    val, test = deal_patients(patients, grades, fractions=[0.2, 0.2], seed=1)
    assert not val & test
    assert len(val) == len(test) == 100
    worst = {name: max(g for p, g in zip(patients, grades, strict=True) if p == name) for name in set(patients)}
    overall = np.mean([grade >= 2 for grade in worst.values()])
    for chosen in (val, test):
        assert np.mean([worst[name] >= 2 for name in chosen]) == pytest.approx(overall, abs=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_budgets_of_one_seed_are_nested_and_close_to_what_was_asked(cohort, seed):
    patients, grades = cohort
    budgets = [draw_budget(patients, grades, num_images=count, seed=seed) for count in (10, 20, 50, 100, len(patients))]
    for smaller, larger in itertools.pairwise(budgets):
        assert set(smaller) <= set(larger)
    assert set(budgets[-1]) == set(patients)
    for count, budget in zip((50, 100), budgets[2:4], strict=True):
        drawn = sum(name in set(budget) for name in patients)
        assert abs(drawn - count) <= 2


def test_even_one_image_of_budget_has_both_classes(cohort):
    patients, grades = cohort
    chosen = set(draw_budget(patients, grades, num_images=1, seed=0))
    labels = {grade >= 2 for name, grade in zip(patients, grades, strict=True) if name in chosen}
    assert labels == {True, False}


def test_the_order_depends_on_the_seed_alone_not_on_the_rows(cohort):
    patients, grades = cohort
    shuffled = np.random.default_rng(9).permutation(len(patients))
    again = stratified_order([patients[i] for i in shuffled], [grades[i] for i in shuffled], seed=3)
    assert again == stratified_order(patients, grades, seed=3)
    assert again != stratified_order(patients, grades, seed=4)
    assert digest_of(again) == digest_of(sorted(again))


def test_folds_of_one_seed_test_every_patient_once_and_keep_the_share_of_referable(cohort):
    patients, grades = cohort
    worst = {name: max(g for p, g in zip(patients, grades, strict=True) if p == name) for name in set(patients)}
    overall = np.mean([grade >= 2 for grade in worst.values()])
    tested = []
    for fold in range(5):
        val, test = deal_fold(patients, grades, folds=5, fold=fold, val_fraction=0.25, seed=2)
        assert not val & test
        assert (len(val), len(test)) == (100, 100)
        for chosen in (val, test):
            assert np.mean([worst[name] >= 2 for name in chosen]) == pytest.approx(overall, abs=0.04)
        tested += sorted(test)
    assert sorted(tested) == sorted(worst)


def classes_of(chosen: list[str], patients: list[str], grades: list[int]) -> tuple[int, int]:
    """Images of referable grades and others."""
    drawn = [grade for name, grade in zip(patients, grades, strict=True) if name in set(chosen)]
    return sum(grade >= 2 for grade in drawn), sum(grade < 2 for grade in drawn)


@pytest.mark.parametrize("seed", range(5))
def test_balanced_budgets_have_as_many_referable_images_as_others_and_are_nested(cohort, seed):
    patients, grades = cohort
    budgets = [draw_budget(patients, grades, num_images=n, seed=seed, balanced=True) for n in (10, 40, 100, 200)]
    for smaller, larger in itertools.pairwise(budgets):
        assert set(smaller) < set(larger)
    for wanted, budget in zip((10, 40, 100, 200), budgets, strict=True):
        referable, others = classes_of(budget, patients, grades)
        assert abs(referable - others) <= 3  # a patient has at most three images
        assert abs(referable + others - wanted) <= 2


def test_a_balanced_budget_counts_images_not_patients():
    """Every referable patient has a healthy other eye: they alone are balanced."""
    patients = [f"p{i}" for i in range(40) for _ in range(2)]
    grades = [grade for i in range(40) for grade in ((2, 0) if i < 20 else (0, 0))]
    chosen = draw_budget(patients, grades, num_images=20, seed=0, balanced=True)
    assert classes_of(chosen, patients, grades) == (10, 10)


def test_a_balanced_budget_beyond_the_rarer_class_is_an_error(cohort):
    patients, grades = cohort
    num_referable = sum(grade >= 2 for grade in grades)
    with pytest.raises(InputError, match=r"budget: balanced: 900 images cannot be drawn .*; at most \d+ can"):
        draw_budget(patients, grades, num_images=900, seed=0, balanced=True)
    largest = draw_budget(patients, grades, num_images=2 * num_referable - 4, seed=0, balanced=True)
    assert classes_of(largest, patients, grades)[0] >= num_referable - 4


SMALL = VoetsCounts(train_other=30, test_other=6, train_referable=12)


def test_the_split_of_voets_has_its_counts_by_class_whatever_the_order_of_the_rows():
    names = [f"{i}_{eye}" for i in range(40) for eye in ("left", "right")]
    grades = [(0, 1, 2, 0, 4)[i % 5] for i in range(80)]  # 48 others, 32 referable
    splits = voets_split(names, grades, counts=SMALL)
    found = {(split, grade >= 2): 0 for split in ("train", "test", None) for grade in (0, 2)}
    for split, grade in zip(splits, grades, strict=True):
        found[split, grade >= 2] += 1
    assert found == {
        ("train", False): 30,
        ("train", True): 12,
        ("test", False): 6,
        ("test", True): 20,
        (None, False): 12,
        (None, True): 0,
    }
    order = np.random.default_rng(0).permutation(80)
    again = voets_split([names[i] for i in order], [grades[i] for i in order], counts=SMALL)
    assert again == [splits[i] for i in order]


def test_the_split_of_voets_leaves_out_what_has_no_grade_and_needs_all_of_eyepacs():
    names, grades = [str(i) for i in range(60)], [0] * 40 + [3] * 15 + [-1] * 5
    assert voets_split(names, grades, counts=SMALL)[55:] == [None] * 5
    with pytest.raises(InputError, match=r"needs 48784 images of grades 0 and 1 and more than 16458 .*found 40 and 15"):
        voets_split(names, grades)


def test_the_counts_of_voets_are_those_of_the_paper():
    assert VOETS.train_other + VOETS.train_referable == 57_146
    assert VOETS.train_other + VOETS.test_other == 48_784
    num_referable = 13_153 + 2_087 + 1_914
    assert num_referable - VOETS.train_referable == 696
