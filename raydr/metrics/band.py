"""The confidence band around an ROC curve."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.resampling import patient_counts, patient_numbers
from raydr.metrics.roc import Bools, Floats


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
    is_positive, values = np.asarray(truth, dtype=bool), np.asarray(scores, dtype=np.float64)
    if is_positive.all() or not is_positive.any():
        raise ValueError("an ROC band needs images of both classes")
    order = np.argsort(-values, kind="stable")
    is_positive, values = is_positive[order], values[order]
    grid = np.linspace(0, 1, num_points)
    patient = patient_numbers(patients, len(values))
    blocks = patient_counts(patient, num_resamples=num_resamples, seed=seed)
    found = np.concatenate(
        [_sensitivity_at(grid, is_positive, values, counts[:, patient[order]].astype(np.float64)) for counts in blocks]
    )
    tail = (1 - level) / 2
    low, high = np.nanquantile(found, [tail, 1 - tail], axis=0)
    curve = _sensitivity_at(grid, is_positive, values, np.ones((1, len(values))))[0]
    return RocBand(false_positive_rate=grid, sensitivity=curve, low=low, high=high, level=level)


def _sensitivity_at(grid: Floats, is_positive: Bools, falling_scores: Floats, weights: Floats) -> Floats:
    """Sensitivity of every row of ``weights`` [resamples, images] at the grid's rates; NaN rows have one class only."""
    ends = np.flatnonzero(np.concatenate((np.diff(falling_scores) != 0, [True])))
    hits = np.cumsum(weights * is_positive, axis=1)[:, ends]
    alarms = np.cumsum(weights * ~is_positive, axis=1)[:, ends]
    has_both = (hits[:, -1:] > 0) & (alarms[:, -1:] > 0)
    start = np.zeros((len(weights), 1))
    sensitivity = np.hstack((start, hits / np.where(has_both, hits[:, -1:], 1)))
    rate = np.hstack((start, alarms / np.where(has_both, alarms[:, -1:], 1)))
    # Rows are laid end to end, 2 apart, so that one binary search serves all. The last point at or below a rate is the
    # top of a vertical piece of the curve; from there the curve runs straight to the next point.
    row = np.arange(len(weights))[:, None]
    rate = np.where(has_both, rate, 0) + 2 * row
    flat_rate, flat_sensitivity = rate.ravel(), sensitivity.ravel()
    wanted = grid[None, :] + 2 * row
    before = np.searchsorted(flat_rate, wanted, side="right") - 1
    after = np.minimum(before + 1, (row + 1) * rate.shape[1] - 1)
    run = flat_rate[after] - flat_rate[before]
    part = np.divide(wanted - flat_rate[before], run, out=np.zeros_like(run), where=run > 0)
    found = flat_sensitivity[before] + part * (flat_sensitivity[after] - flat_sensitivity[before])
    return np.where(has_both, found, np.nan)
