"""Patients dealt to splits and label budgets: seeded, stratified, nested, never an image of one patient apart.

`voets_split` alone goes by image; it is there to compare with work that did.
"""

import hashlib
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from raydr.errors import InputError
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


def deal_fold(
    patients: Sequence[str], grades: Sequence[int], *, folds: int, fold: int, val_fraction: float, seed: int
) -> tuple[set[str], set[str]]:
    """Val and test patients of one of ``folds`` folds: test is fold number ``fold`` (from 0), val a share of the rest.

    The folds of one seed are disjoint and together hold every patient.
    """
    test = deal_patients(patients, grades, fractions=[1 / folds] * folds, seed=seed)[fold]
    rest = [row for row, patient in enumerate(patients) if patient not in test]
    (val,) = deal_patients(
        [patients[row] for row in rest], [grades[row] for row in rest], fractions=[val_fraction], seed=seed
    )
    return val, test


@dataclass(frozen=True, slots=True)
class VoetsCounts:
    """Images by class of the split of Voets et al. (doi:10.1371/journal.pone.0217541) over all of EyePACS."""

    train_other: int = 40_688
    test_other: int = 8_096
    train_referable: int = 16_458
    """The referable images left over are the test split's: 696 of 17,154, of which 694 survived their preprocessing."""


VOETS: Final = VoetsCounts()
_VOETS_SEED: Final = 42


def voets_split(names: Sequence[str], grades: Sequence[int], *, counts: VoetsCounts = VOETS) -> list[str | None]:
    """`train`, `test` or None (left out) of every image, as Voets et al. split EyePACS and arXiv 2208.02408 after them.

    The images of grades 0 and 1 are shuffled, the first 40,688 are train, the next 8,096 test; those of grades 2 to 4
    are shuffled, the first 16,458 are train, the others test. By image: most test patients are in train as well, which
    flatters every figure.

    Not the very images of either: the first shuffle with GNU ``shuf`` on an ``openssl`` stream, the others' code with
    Python's generator of seed 42 over files in the order of the disk. This is Python's generator of seed 42 over the
    names in sorted order, the same on every machine; the counts are theirs.

    Raises:
        InputError: There are not images enough.
    """
    generator = random.Random(_VOETS_SEED)  # noqa: S311  # the paper's, no secret
    order = sorted(range(len(names)), key=names.__getitem__)
    other = [row for row in order if 0 <= grades[row] < REFERABLE_GRADE]
    referable = [row for row in order if grades[row] >= REFERABLE_GRADE]
    wanted = counts.train_other + counts.test_other
    if len(other) < wanted or len(referable) <= counts.train_referable:
        raise InputError(
            f'splits: kind = "voets" needs {wanted} images of grades 0 and 1 and more than {counts.train_referable} of '
            f"grades 2 to 4, as all of EyePACS has, train and test part (found {len(other)} and {len(referable)})"
        )
    generator.shuffle(other)
    generator.shuffle(referable)
    splits: list[str | None] = [None] * len(names)
    for rows, split in (
        (other[: counts.train_other], "train"),
        (other[counts.train_other : wanted], "test"),
        (referable[: counts.train_referable], "train"),
        (referable[counts.train_referable :], "test"),
    ):
        for row in rows:
            splits[row] = split
    return splits


def draw_budget(
    patients: Sequence[str], grades: Sequence[int], *, num_images: int, seed: int, balanced: bool = False
) -> list[str]:
    """The first patients of the seeded order that hold ``num_images`` images, so a smaller budget is a subset.

    Whole patients only: the image count is the closest that can be had from below or by one patient above, and both
    referable (grade >= 2) and other images are among them where the whole set has both.

    Args:
        patients: Patient of every image.
        grades: Grade of every image.
        num_images: Images wanted.
        seed: Of the order.
        balanced: As many referable images as others (arXiv 2208.02408 draws 500 and 500, but by image), within the
            images of one patient; else the classes are as frequent as in the whole set.

    Raises:
        InputError: A balanced budget that is larger than twice the rarer class allows.
    """
    order = _balanced_order(patients, grades, seed=seed) if balanced else stratified_order(patients, grades, seed=seed)
    names, counts, _ = _patient_table(patients, grades)
    referable = _referable_images(names, patients, grades)
    place = np.searchsorted(names, order)
    total, positive = np.cumsum(counts[place]), np.cumsum(referable[place])
    if balanced and num_images > total[-1:].sum():
        raise InputError(
            f"budget: balanced: {num_images} images cannot be drawn with as many referable ones as others; at most "
            f"{total[-1:].sum()} can"
        )
    taken = max(1, int(np.searchsorted(total, num_images, side="right")))
    if taken < len(order) and num_images - total[taken - 1] > total[taken] - num_images:
        taken += 1
    has_both = 0 < referable.sum() < counts.sum()
    while has_both and taken < len(order) and not 0 < positive[taken - 1] < total[taken - 1]:
        taken += 1
    return order[:taken]


def _referable_images(names: Names, patients: Sequence[str], grades: Sequence[int]) -> NDArray[np.int64]:
    """The number of referable images of each of the patients ``names``, which are sorted."""
    is_referable = np.asarray(grades, dtype=np.int64) >= REFERABLE_GRADE
    places = np.searchsorted(names, np.asarray(patients, dtype=np.str_)[is_referable])
    return np.bincount(places, minlength=len(names))


def _balanced_order(patients: Sequence[str], grades: Sequence[int], *, seed: int) -> list[str]:
    """Patients of the seeded order such that every prefix has about as many referable images as others.

    A patient of the class that is behind comes next, and it ends where there is none. Who has a referable eye is of
    the referable class, and brings the other eye along.
    """
    names, counts, _ = _patient_table(patients, grades)
    referable = _referable_images(names, patients, grades)
    surplus = dict(zip(names.tolist(), (2 * referable - counts).tolist(), strict=True))
    is_referable = dict(zip(names.tolist(), (referable > 0).tolist(), strict=True))
    order = stratified_order(patients, grades, seed=seed)
    waiting = {kind: [name for name in reversed(order) if is_referable[name] == kind] for kind in (False, True)}
    found: list[str] = []
    ahead = 0  # referable images more than others so far
    while waiting[ahead <= 0]:
        name = waiting[ahead <= 0].pop()
        ahead += surplus[name]
        found.append(name)
    return found


def digest_of(names: Sequence[str]) -> str:
    """SHA-256 of a set of names, whatever their order."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
