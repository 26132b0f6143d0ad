"""The confidence band around an ROC curve."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.calls import Totals, falling_calls
from raydr.metrics.resampling import patient_numbers
from raydr.metrics.roc import Floats


@dataclass(frozen=True, slots=True)
class RocBand:
    """Sensitivity and its pointwise bounds on a grid of false positive rates from 0 to 1."""

    false_positive_rate: Floats
    sensitivity: Floats
    low: Floats
    high: Floats
    level: float


def roc_band(
    truth: NDArray[np.generic],
    scores: NDArray[np.generic],
    patients: NDArray[np.generic],
    *,
    level: float = 0.95,
    num_resamples: int = 500,
    num_points: int = 101,
    seed: int = 0,
) -> RocBand:
    """Pointwise percentile band of the sensitivity at fixed false positive rates ("vertical averaging").

    See doi:10.1016/j.patrec.2005.10.010; resamples are of patients, and those of one class are left out.

    Raises:
        ValueError: only one class is present.
    """
    is_positive = np.asarray(truth, dtype=bool)
    if is_positive.all() or not is_positive.any():
        raise ValueError("an ROC band needs images of both classes")
    calls = falling_calls(is_positive, scores, patient_numbers(patients, len(is_positive)))
    grid = np.linspace(0, 1, num_points)
    found = [
        _sensitivity_at(grid, hits, alarms)
        for hits, alarms in calls.resampled(num_resamples=num_resamples, seed=seed)
        if hits[-1] and alarms[-1]
    ]
    low, high = np.quantile(np.array(found), [(1 - level) / 2, (1 + level) / 2], axis=0)
    curve = _sensitivity_at(grid, *calls.once())
    return RocBand(false_positive_rate=grid, sensitivity=curve, low=low, high=high, level=level)


def _sensitivity_at(grid: Floats, hits: Totals, alarms: Totals) -> Floats:
    """Sensitivity at the grid's rates: the top of a vertical piece of the curve, a straight line between pieces."""
    rate, sensitivity = np.append(0, alarms) / alarms[-1], np.append(0, hits) / hits[-1]
    found: Floats = np.interp(grid, rate, sensitivity)
    return found
