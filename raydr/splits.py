"""Patients dealt to splits and label budgets: seeded, stratified, nested, never an image of one patient apart."""

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raydr.grades import REFERABLE_GRADE

Names = NDArray[np.str_]


def _patient_table(
    patients: Sequence[str], grades: Sequence[int]
) -> tuple[Names, NDArray[np.int64], NDArray[np.int64]]:
    """Distinct patients, each one's number of images and worst grade (-1: none graded)."""
    names, patient_of_image = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    worst = np.full(len(names), -1, dtype=np.int64)
    np.maximum.at(worst, patient_of_image, np.asarray(grades, dtype=np.int64))
    return names, np.bincount(patient_of_image, minlength=len(names)), worst


def stratified_order(patients: Sequence[str], grades: Sequence[int], *, seed: int) -> list[str]:
    """The distinct patients in a random order whose every prefix has about the whole's share of each worst grade."""
    names, _, worst = _patient_table(patients, grades)
    generator = np.random.default_rng(seed)
    key = np.empty(len(names))
    for grade in np.unique(worst):
        members = np.flatnonzero(worst == grade)
        places = (np.arange(len(members)) + generator.random(len(members))) / len(members)
        key[members[generator.permutation(len(members))]] = places
    return [str(name) for name in names[np.argsort(key, kind="stable")]]


def deal_patients(
    patients: Sequence[str], grades: Sequence[int], *, fractions: Sequence[float], seed: int
) -> list[set[str]]:
    """One set of patients a fraction (of patients), disjoint, each stratified by worst grade; the rest is left over."""
    order = stratified_order(patients, grades, seed=seed)
    bounds = [round(float(bound) * len(order)) for bound in np.cumsum([0.0, *fractions])]
    # The order is stratified along its whole length, so any stretch of it is.
    return [set(order[low:high]) for low, high in itertools.pairwise(bounds)]


def draw_budget(patients: Sequence[str], grades: Sequence[int], *, num_images: int, seed: int) -> list[str]:
    """The first patients of the seeded order that hold ``num_images`` images, so a smaller budget is a subset.

    Whole patients only: the image count is the closest that can be had from below or by one patient above, and both
    referable (grade >= 2) and other images are among them where the whole set has both.
    """
    order = stratified_order(patients, grades, seed=seed)
    names, counts, worst = _patient_table(patients, grades)
    images = dict(zip(names.tolist(), counts.tolist(), strict=True))
    referable = dict(zip(names.tolist(), (worst >= REFERABLE_GRADE).tolist(), strict=True))
    total = np.cumsum([images[name] for name in order])
    taken = max(1, int(np.searchsorted(total, num_images, side="right")))
    if taken < len(order) and num_images - total[taken - 1] > total[taken] - num_images:
        taken += 1
    wanted = {bool(kind) for kind in referable.values()}
    while {referable[name] for name in order[:taken]} != wanted:
        taken += 1
    return order[:taken]


def digest_of(names: Sequence[str]) -> str:
    """SHA-256 of a set of names, whatever their order."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
