"""The split of every image of an internal dataset: its makers', dealt by patient, or that of Voets et al."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from raydr.data.manifest import grades_of, patients_of
from raydr.data.sources import SourceTable
from raydr.errors import InputError
from raydr.grades import REFERABLE_GRADE
from raydr.splits import deal_fold, deal_patients, voets_split

Splits = list[str | None]


@dataclass(frozen=True, slots=True)
class SplitRule:
    """How images come into train, val and test.

    `official`: splits that a dataset comes with are kept, and val is dealt from its train patients where there is none;
    a dataset without splits is dealt like `patient`.
    `patient`: all patients are dealt anew, whatever splits a dataset comes with; with ``folds``, fold number ``fold``
    (from 0) is the test split.
    `voets`: `voets_split`, image by image; val is dealt from the train patients.
    """

    kind: Literal["official", "patient", "voets"] = "official"
    val_fraction: float = 0.15
    """Share of the patients dealt from: of all that are not given or dealt to test by another rule."""
    test_fraction: float = 0.2
    folds: int | None = None
    fold: int | None = None
    seed: int = 0


def splits_of(found: SourceTable, rule: SplitRule) -> Splits:
    """The split of every row, None where it is to be left out of the manifest.

    Patients with a grade are dealt; an image without a split goes where its patient is, else to train.

    Raises:
        InputError: Too few patients for a split, or too few images for that of Voets et al.
    """
    patients, grades = patients_of(found.rows).tolist(), grades_of(found.rows).tolist()
    if rule.kind != "voets":
        given = found.rows["split"].to_pylist() if rule.kind == "official" else [None] * len(patients)
        return _filled(patients, grades, given, rule=rule, label_file=found.label_file)
    splits = voets_split(found.rows["image_id"].to_pylist(), grades)
    taken = [row for row, split in enumerate(splits) if split is not None]
    filled = _filled(
        [patients[row] for row in taken],
        [grades[row] for row in taken],
        [splits[row] for row in taken],
        rule=rule,
        label_file=found.label_file,
    )
    for row, split in zip(taken, filled, strict=True):
        splits[row] = split
    return splits


def _filled(
    patients: Sequence[str], grades: Sequence[int], given: Splits, *, rule: SplitRule, label_file: str
) -> Splits:
    """A split for every row; patients whose images are all in train may be dealt to val, no other changes."""
    given_of_patient: dict[str, set[str]] = defaultdict(set)
    for patient, split in zip(patients, given, strict=True):
        if split is not None:
            given_of_patient[patient].add(split)
    # A patient without a split of his own, in a source that has splits, is a train patient.
    split_of_patient = {patient: min(splits) for patient, splits in given_of_patient.items()}
    known = set().union(*given_of_patient.values())
    rows = [
        row
        for row, patient in enumerate(patients)
        if grades[row] >= 0 and given_of_patient.get(patient, {"train"}) == {"train"}
    ]
    if not known or ("val" not in known and rows):
        chosen = _dealt(
            [patients[row] for row in rows],
            [grades[row] for row in rows],
            rule=rule,
            with_test=not known,
            label_file=label_file,
        )
        split_of_patient |= chosen
        given = [None if patient in chosen else split for patient, split in zip(patients, given, strict=True)]
    return [split or split_of_patient.get(patient, "train") for patient, split in zip(patients, given, strict=True)]


def _dealt(
    patients: Sequence[str], grades: Sequence[int], *, rule: SplitRule, with_test: bool, label_file: str
) -> dict[str, str]:
    """Split by patient of those dealt to val and test."""
    if with_test and rule.folds is not None and rule.fold is not None:
        val, test = deal_fold(
            patients, grades, folds=rule.folds, fold=rule.fold, val_fraction=rule.val_fraction, seed=rule.seed
        )
        wanted = {"val": (val, f"val_fraction = {rule.val_fraction:g}"), "test": (test, f"folds = {rule.folds}")}
    else:
        fractions = {"val": rule.val_fraction} | ({"test": rule.test_fraction} if with_test else {})
        sets = deal_patients(patients, grades, fractions=list(fractions.values()), seed=rule.seed)
        wanted = {
            split: (dealt, f"{split}_fraction = {fraction:g}")
            for (split, fraction), dealt in zip(fractions.items(), sets, strict=True)
        }
    for dealt, setting in wanted.values():
        if not dealt and not setting.endswith(" = 0"):
            raise InputError(f"{label_file}: {len(set(patients))} patients with a grade are too few for {setting}")
    return {patient: split for split, (dealt, _) in wanted.items() for patient in dealt}


@dataclass(frozen=True, slots=True)
class PatientLeak:
    """How far a test split shares its patients with the train split, image by image."""

    num_patients: int
    """Patients with images in both."""
    num_test_images: int
    """Graded test images, and of them those whose patient has an image in train."""
    num_shared_images: int
    num_referable_test_images: int
    """The same among the referable ones."""
    num_shared_referable_images: int

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"{self.num_patients} patients are in train and in test: "
            f"{self.num_shared_images} of {self.num_test_images} test images, "
            f"{self.num_shared_referable_images} of {self.num_referable_test_images} referable ones"
        )


def patient_leak(manifest: pa.Table) -> PatientLeak:
    """What the test split of a manifest shares with its train split, by patient."""
    patients, grades = patients_of(manifest), grades_of(manifest)
    splits = np.asarray(manifest["split"].to_pylist())
    train = set(patients[splits == "train"].tolist())
    tested = (splits == "test") & (grades >= 0)
    is_shared = np.fromiter((patient in train for patient in patients.tolist()), dtype=bool, count=len(patients))
    is_referable = tested & (grades >= REFERABLE_GRADE)
    return PatientLeak(
        num_patients=len(train & set(patients[splits == "test"].tolist())),
        num_test_images=int(tested.sum()),
        num_shared_images=int((tested & is_shared).sum()),
        num_referable_test_images=int(is_referable.sum()),
        num_shared_referable_images=int((is_referable & is_shared).sum()),
    )
