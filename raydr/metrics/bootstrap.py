"""Confidence intervals that resample patients, not images."""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.newcombe import bounds_without_spread
from raydr.metrics.ranking import counted_auc, ranking
from raydr.metrics.resampling import patient_numbers, percentile_bounds, resampled
from raydr.metrics.roc import Floats, auc, class_scores


@dataclass(frozen=True, slots=True)
class AucInterval:
    """An AUC with its percentile interval and what it was computed on."""

    value: float
    low: float
    high: float
    level: float
    num_images: int
    num_patients: int
    num_positive: int

    def __str__(self) -> str:
        """The AUC as it is quoted: value and interval to three digits."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auc_resamples(
    truth: NDArray[np.generic],
    scores: NDArray[np.generic],
    patients: NDArray[np.generic],
    *,
    num_resamples: int,
    seed: int,
) -> Floats:
    """AUC of each patient-clustered bootstrap resample (doi:10.1016/S1076-6332(00)80381-5), no single-class ones."""
    patient = patient_numbers(patients, len(scores))
    figure = functools.partial(counted_auc, ranking(truth, scores, patient))
    return resampled(figure, patient, num_resamples=num_resamples, seed=seed)


def auc_interval(
    truth: NDArray[np.generic],
    scores: NDArray[np.generic],
    patients: NDArray[np.generic],
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> AucInterval:
    """AUC with the percentile interval of a patient-clustered bootstrap.

    Where all resamples have the same AUC, as they do if the classes are apart, the interval is that of
    `newcombe_bounds`. Value and bounds are NaN where only one class is present.
    """
    is_positive, _ = class_scores(truth, scores)
    value = auc(is_positive, scores)
    low = high = math.nan
    if math.isfinite(value):
        resamples = auc_resamples(is_positive, scores, patients, num_resamples=num_resamples, seed=seed)
        low, high = percentile_bounds(resamples, level)
        if low == high:
            low, high = bounds_without_spread(value, is_positive, patients, level=level)
    return AucInterval(
        value=value,
        low=low,
        high=high,
        level=level,
        num_images=len(is_positive),
        num_patients=len(np.unique(patients)),
        num_positive=int(is_positive.sum()),
    )
