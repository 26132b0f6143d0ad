"""What a model does with the images of each true grade."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raydr.grades import NUM_GRADES, REFERABLE_GRADE
from raydr.metrics.calibration import share
from raydr.metrics.judged import Judged
from raydr.metrics.operating import Proportion
from raydr.metrics.roc import Floats

NUM_SCORE_BINS = 25
_MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class MissedImages:
    """Images of a referable grade that were not called referable."""

    num_images: int
    image_ids: tuple[str, ...]
    """Of at most a hundred of them, the one with the lowest score first."""


def score_histogram(grade: NDArray[np.int64], probability: Floats) -> NDArray[np.int64]:
    """Images [true grade, score bin] with bins of equal width between 0 and 1; ungraded ones (-1) are left out."""
    graded = grade >= 0
    place = np.minimum((probability[graded] * NUM_SCORE_BINS).astype(np.int64), NUM_SCORE_BINS - 1)
    counts = np.bincount(grade[graded] * NUM_SCORE_BINS + place, minlength=NUM_GRADES * NUM_SCORE_BINS)
    return counts.reshape(NUM_GRADES, NUM_SCORE_BINS).astype(np.int64)


def sensitivity_of_grades(judged: Judged, threshold: float, *, level: float) -> tuple[Proportion, ...]:
    """Share of the images of each true grade that are called, with intervals clustered by patient."""
    is_called = judged.probability >= threshold
    of_grade = (judged.grade == grade for grade in range(NUM_GRADES))
    return tuple(share(is_called[rows], judged.patient[rows], level=level) for rows in of_grade)


def missed_images(judged: Judged, threshold: float) -> Mapping[int, MissedImages]:
    """The images of each referable grade whose score is below a threshold."""
    found = {}
    for grade in range(REFERABLE_GRADE, NUM_GRADES):
        rows = np.flatnonzero((judged.grade == grade) & (judged.probability < threshold))
        named = rows[np.argsort(judged.probability[rows], kind="stable")][:_MOST_NAMED]
        found[grade] = MissedImages(len(rows), tuple(judged.name[named].tolist()))
    return found
