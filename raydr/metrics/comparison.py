"""Whether one model ranks the same images better than another."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.ranking import counted_auc, ranking
from raydr.metrics.resampling import patient_numbers, percentile_bounds, resampled
from raydr.metrics.roc import Bools, auc, class_scores
from raydr.metrics.standard_error import clustered_standard_error, placements

NOT_DEFINED: Final = "not defined"


@dataclass(frozen=True, slots=True)
class AucDifference:
    """The AUC of a first model less that of a second one on the same images, and what it was computed on.

    All figures are NaN where one class only is present; bounds and p are NaN where the data give no spread to tell them
    from.
    """

    value: float
    low: float
    high: float
    level: float
    p_value: float
    """Two-sided, of there being no difference."""
    first: float
    second: float
    num_images: int
    num_patients: int
    num_positive: int

    def __str__(self) -> str:
        """The difference as it is quoted: value and interval, if they are defined, with their signs to three digits."""
        if not math.isfinite(self.value):
            return NOT_DEFINED
        if not math.isfinite(self.low):
            return f"{self.value:+.3f}"
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def difference_error(
    truth: NDArray[np.generic],
    first: NDArray[np.generic],
    second: NDArray[np.generic],
    patients: NDArray[np.generic],
) -> float:
    """Standard error of the paired difference of two AUCs over patients, as `auc_difference` has it.

    NaN where fewer than two patients have images of a class. Arguments are those of `auc_difference`.
    """
    is_positive = _paired_truth(truth, first, second)
    return _error(is_positive, first, second, patient_numbers(patients, len(is_positive)))


def auc_difference(
    truth: NDArray[np.generic],
    first: NDArray[np.generic],
    second: NDArray[np.generic],
    patients: NDArray[np.generic],
    *,
    level: float = 0.95,
) -> AucDifference:
    """The paired difference of two AUCs over patients with several images (Obuchowski, doi:10.2307/2533958).

    With one image a patient it is DeLong's test (doi:10.2307/2531595). Needs at least two patients with images of each
    class. Without a spread, equal areas are equal (p is 1) and unequal ones have no bounds.

    Args:
        truth: Whether an image is positive, [N].
        first: Scores of the first model, [N], finite.
        second: Scores of the second model for the same images, [N], finite.
        patients: Whose each image is, [N].
        level: Of the interval.
    """
    is_positive = _paired_truth(truth, first, second)
    patient = patient_numbers(patients, len(is_positive))
    error = _error(is_positive, first, second, patient)
    areas = auc(is_positive, first), auc(is_positive, second)
    value = areas[0] - areas[1]
    half = NormalDist().inv_cdf((1 + level) / 2) * error
    p_value = math.erfc(abs(value) / (error * math.sqrt(2))) if error > 0 else 1.0
    if math.isnan(error) or (error == 0 and value != 0):
        half = p_value = math.nan
    return AucDifference(
        value=value,
        low=value - half,
        high=value + half,
        level=level,
        p_value=p_value,
        first=areas[0],
        second=areas[1],
        num_images=len(is_positive),
        num_patients=len(np.unique(patient)),
        num_positive=int(is_positive.sum()),
    )


def bootstrap_auc_difference(
    truth: NDArray[np.generic],
    first: NDArray[np.generic],
    second: NDArray[np.generic],
    patients: NDArray[np.generic],
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> AucDifference:
    """The paired difference of two AUCs with the percentile interval of a patient-clustered bootstrap.

    Both models are judged on the same resamples. p is twice the share of resamples on the far side of zero, the
    sample itself counted (doi:10.1017/CBO9780511802843, chapter 4), so never below 2 / (resamples + 1).
    Arguments are those of `auc_difference`.
    """
    is_positive = _paired_truth(truth, first, second)
    patient = patient_numbers(patients, len(is_positive))
    areas = auc(is_positive, first), auc(is_positive, second)
    low = high = p_value = math.nan
    if math.isfinite(areas[0]):
        ranked = ranking(is_positive, first, patient), ranking(is_positive, second, patient)
        found = resampled(
            lambda counts: counted_auc(ranked[0], counts) - counted_auc(ranked[1], counts),
            patient,
            num_resamples=num_resamples,
            seed=seed,
        )
        low, high = percentile_bounds(found, level)
        far = min(int((found <= 0).sum()), int((found >= 0).sum()))
        p_value = min(1.0, 2 * (far + 1) / (len(found) + 1))
    return AucDifference(
        value=areas[0] - areas[1],
        low=low,
        high=high,
        level=level,
        p_value=p_value,
        first=areas[0],
        second=areas[1],
        num_images=len(is_positive),
        num_patients=len(np.unique(patient)),
        num_positive=int(is_positive.sum()),
    )


def _error(
    is_positive: Bools, first: NDArray[np.generic], second: NDArray[np.generic], patient: NDArray[np.intp]
) -> float:
    lead = placements(is_positive, first) - placements(is_positive, second)
    return clustered_standard_error(is_positive, lead, patient)


def _paired_truth(truth: NDArray[np.generic], first: NDArray[np.generic], second: NDArray[np.generic]) -> Bools:
    """The truth of images that both models scored."""
    is_positive, _ = class_scores(truth, first)
    class_scores(truth, second)
    return is_positive
