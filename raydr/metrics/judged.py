"""What is right or wrong about a score: images that have a grade, or exams that have a reference."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raydr.grades import REFERABLE_GRADE
from raydr.metrics.levels import Level, gather_units, names_within
from raydr.metrics.roc import Bools, Floats
from raydr.metrics.scored_images import ScoredImages


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The units of a data set that have both a truth and a score, a row each, and how many images have not."""

    unit: Level
    name: NDArray[np.str_]
    """Of the image, or of the exam."""
    patient: NDArray[np.str_]
    grade: NDArray[np.int64]
    """-1 where the truth is an exam's."""
    is_referable: Bools
    probability: Floats
    grade_probability: Floats | None
    num_images: int
    """Images behind the units."""
    num_ungraded: int
    num_unscored: int
    """Images with a truth but without a score."""


def judged_images(scored: ScoredImages) -> Judged:
    """The images with a grade and a score; the exams, where exams have a reference and no image has a grade.

    An exam's score is the largest of its images'.
    """
    is_graded, is_scored = scored.grade >= 0, np.isfinite(scored.probability)
    exams = exam_names(scored)
    if scored.exam_referable is not None and exams is not None and not is_graded.any():
        has_truth = scored.exam_referable >= 0
        reference = dict(zip(exams[has_truth].tolist(), (scored.exam_referable[has_truth] == 1).tolist(), strict=True))
        units = gather_units(exams, scored.patient, scored.grade, scored.probability, reference=reference)
        return Judged(
            unit="exam",
            name=units.unit,
            patient=units.patient,
            grade=units.grade,
            is_referable=units.is_referable,
            probability=units.probability,
            grade_probability=None,
            num_images=int(units.num_images.sum()),
            num_ungraded=int((~has_truth).sum()),
            num_unscored=int((has_truth & ~is_scored).sum()),
        )
    used = is_graded & is_scored
    return Judged(
        unit="image",
        name=scored.image_id[used],
        patient=scored.patient[used],
        grade=scored.grade[used],
        is_referable=scored.grade[used] >= REFERABLE_GRADE,
        probability=scored.probability[used],
        grade_probability=None if scored.grade_probability is None else scored.grade_probability[used],
        num_images=int(used.sum()),
        num_ungraded=int((~is_graded).sum()),
        num_unscored=int((is_graded & ~is_scored).sum()),
    )


def exam_names(scored: ScoredImages) -> NDArray[np.str_] | None:
    """A name for each image's exam that no other patient's has, empty where it is not known; None where none is."""
    return None if scored.exam is None else names_within(scored.patient, scored.exam)
