"""Splits and budgets by patient."""

import itertools

import numpy as np
import pytest

from raydr.splits import deal_patients, digest_of, draw_budget, stratified_order


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
