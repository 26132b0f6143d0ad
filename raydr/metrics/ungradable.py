"""What becomes of the figures when some photographs cannot be graded: three ways to count them."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from raydr.grades import REFERABLE_GRADE
from raydr.metrics.bootstrap import AucInterval, auc_interval
from raydr.metrics.operating import PointFigures, Proportion, at_threshold
from raydr.metrics.resampling import patient_numbers
from raydr.metrics.roc import Bools, Floats

Way = Literal["gradable", "all", "refer"]
WAYS: Final[tuple[Way, ...]] = ("gradable", "all", "refer")
_REFERRED = 2.0  # above every probability: referred at any threshold


@dataclass(frozen=True, slots=True)
class UngradableWay:
    """The figures of a data set under one way of counting.

    - ``gradable``: images that a reader could grade.
    - ``all``: all graded images, readable ones or not, by the model's score.
    - ``refer``: as in practice (intention to screen): who cannot be graded or scored is referred at any threshold.
    """

    way: Way
    auc: AucInterval
    point: PointFigures
    referred: Proportion
    """Share of all images of this way, graded or not, that are called positive; NaN without a threshold."""
    num_images: int
    """Those that `referred` is of."""
    num_without_truth: int
    """Those among them that have no grade, and so no part in AUC, sensitivity and specificity."""


def ungradable_ways(
    grade: NDArray[np.int64],
    probability: Floats,
    gradable: Bools,
    patients: NDArray[np.generic],
    threshold: float,
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> tuple[UngradableWay, ...]:
    """The three ways, as Gulshan et al. (doi:10.1001/jama.2016.17216) and trials that screen count them.

    An image that cannot be graded and has no grade has no truth: it is referred, which costs an appointment and is no
    success either. ``gradable`` and ``all`` leave out images without a score.

    Args:
        grade: 0 to 4; -1 where there is none, [N].
        probability: Of referable DR in [0, 1]; NaN where the image could not be read, [N].
        gradable: Whether the image can be graded, by a reader or a quality check, [N].
        patients: Whose each image is, [N].
        threshold: Of the positive calls; NaN where there is none.
        level: Of the intervals.
        num_resamples: Of the AUC's bootstrap.
        seed: Of the resamples.
    """
    patient = patient_numbers(patients, len(grade))
    is_scored = np.isfinite(probability)
    refused = ~gradable | ~is_scored
    every = np.ones(len(grade), dtype=bool)
    used: dict[Way, Bools] = {"gradable": gradable & is_scored, "all": is_scored, "refer": every}
    found = []
    for way in WAYS:
        scores = np.where(refused, _REFERRED, probability) if way == "refer" else probability
        inside = used[way]
        judged = inside & (grade >= 0)
        truth = grade[judged] >= REFERABLE_GRADE
        found.append(
            UngradableWay(
                way=way,
                auc=auc_interval(
                    truth, scores[judged], patient[judged], level=level, num_resamples=num_resamples, seed=seed
                ),
                point=at_threshold(truth, scores[judged], threshold, patients=patient[judged], level=level),
                referred=at_threshold(
                    every[inside], scores[inside], threshold, patients=patient[inside], level=level
                ).sensitivity,
                num_images=int(inside.sum()),
                num_without_truth=int((inside & ~judged).sum()),
            )
        )
    return tuple(found)
