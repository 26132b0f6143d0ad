"""Images gathered into what is judged: an eye, an exam, a patient."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from raydr.grades import REFERABLE_GRADE
from raydr.metrics.roc import Bools, Floats

Level = Literal["image", "eye", "exam", "patient"]
LEVELS: Final[tuple[Level, ...]] = ("image", "eye", "exam", "patient")
_SEPARATOR: Final = "\x1f"  # of units, in no name


@dataclass(frozen=True, slots=True, eq=False)
class UnitScores:
    """One row a unit, by rising name: what a model says of it and what is true of it."""

    unit: NDArray[np.str_]
    patient: NDArray[np.str_]
    grade: NDArray[np.int64]
    """The highest of its images; -1 where the unit's truth is a reference of its own."""
    is_referable: Bools
    probability: Floats
    """The largest of its images: screening takes the worst one."""
    num_images: NDArray[np.int64]
    """How many of its images are in these figures."""


def gather_units(
    unit: NDArray[np.str_],
    patient: NDArray[np.str_],
    grade: NDArray[np.int64],
    probability: Floats,
    *,
    reference: Mapping[str, bool] | None = None,
) -> UnitScores:
    """The units of a data set with the score and the truth of each.

    An image counts where it has both a score and a grade. With a ``reference`` (Messidor-2's referable exams,
    doi:10.1001/jamaophthalmol.2013.1743) the images' own grades play no part: every scored image counts, and the units
    are those that the reference names. A unit without any image that counts is left out.

    Args:
        unit: Name of the unit of each image, [N]; an empty one where it is not known, and the image is left out.
        patient: Whose each image is, [N].
        grade: 0 to 4; -1 where ungraded, [N].
        probability: Of referable DR in [0, 1]; NaN where there is none, [N].
        reference: Whether a unit is referable, where that was judged of the whole unit.

    Raises:
        ValueError: lengths differ, or images of one unit are of two patients.
    """
    arrays = {"patient": patient, "grade": grade, "probability": probability}
    wrong = [f"{name} {array.shape}" for name, array in arrays.items() if array.shape != (len(unit),)]
    if wrong:
        raise ValueError(f"units: {', '.join(wrong)} do not fit {len(unit)} images")
    counts = np.isfinite(probability) & (unit != "")
    counts &= grade >= 0 if reference is None else np.isin(unit, np.array(list(reference), dtype=np.str_))
    names, first, place, sizes = np.unique(unit[counts], return_index=True, return_inverse=True, return_counts=True)
    owner = patient[counts][first]
    strange = np.flatnonzero(owner[place] != patient[counts])
    if len(strange):
        raise ValueError(f"units: {str(unit[counts][strange[0]])!r} has images of more than one patient")
    largest = np.full(len(names), -np.inf)
    np.maximum.at(largest, place, probability[counts])
    highest = np.full(len(names), -1, dtype=np.int64)
    if reference is None:
        np.maximum.at(highest, place, grade[counts])
        is_referable = highest >= REFERABLE_GRADE
    else:
        is_referable = np.array([reference[name] for name in names.tolist()], dtype=bool)
    return UnitScores(
        unit=names,
        patient=owner,
        grade=highest,
        is_referable=is_referable,
        probability=largest,
        num_images=sizes.astype(np.int64),
    )


def unit_names(
    level: Level,
    *,
    image: NDArray[np.str_],
    patient: NDArray[np.str_],
    eye: NDArray[np.str_] | None = None,
    exam: NDArray[np.str_] | None = None,
) -> NDArray[np.str_] | None:
    """The name of each image's unit, empty where it is not known; None where a level needs what nobody told."""
    match level:
        case "image":
            return image
        case "patient":
            return patient
        case "exam":
            return exam
        case "eye" if eye is not None:
            return names_within(patient, eye)
        case _:
            return None


def names_within(patient: NDArray[np.str_], part: NDArray[np.str_]) -> NDArray[np.str_]:
    """Names of patients' eyes or exams that no other patient's has, empty where the part's own is."""
    return np.where(part == "", "", np.char.add(np.char.add(patient, _SEPARATOR), part))
