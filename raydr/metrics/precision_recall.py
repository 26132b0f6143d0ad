"""Precision against recall: what share of the referred is ill, where few are."""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.calls import Totals, falling_calls
from raydr.metrics.estimate import Estimate
from raydr.metrics.ranking import counted_average_precision, ranking
from raydr.metrics.resampling import patient_numbers, percentile_bounds, resampled
from raydr.metrics.roc import Floats, class_scores


@dataclass(frozen=True, slots=True)
class PrecisionRecallCurve:
    """Precision against recall, by falling threshold, one point a distinct score; recall ends at 1.

    Points are not to be joined by straight lines: between them precision does not fall linearly
    (doi:10.1145/1143844.1143874). Draw steps.
    """

    recall: Floats
    precision: Floats
    threshold: Floats


@dataclass(frozen=True, slots=True)
class PrecisionRecallBand:
    """Precision and its pointwise bounds on a grid of recalls from 0 to 1."""

    recall: Floats
    precision: Floats
    low: Floats
    high: Floats
    level: float


def precision_recall_curve(truth: NDArray[np.generic], scores: NDArray[np.generic]) -> PrecisionRecallCurve:
    """The precision-recall curve, a score counting as a positive call where it is at or above the threshold.

    Raises:
        ValueError: there are no positives.
    """
    is_positive, values = class_scores(truth, scores)
    if not is_positive.any():
        raise ValueError("a precision-recall curve needs positive images")
    hits, alarms = falling_calls(is_positive, values, np.zeros(len(values), dtype=np.intp)).once()
    return PrecisionRecallCurve(
        recall=hits / hits[-1], precision=hits / (hits + alarms), threshold=np.unique(values)[::-1]
    )


def average_precision(truth: NDArray[np.generic], scores: NDArray[np.generic]) -> float:
    """Mean precision over the positives, each at its own score: the area under the steps, without interpolation.

    It is scikit-learn's definition. A model that tells nothing reaches the prevalence, not 0.5. NaN without positives.
    """
    everybody = ranking(truth, scores, np.zeros(len(scores), dtype=np.intp))
    return float(counted_average_precision(everybody, np.ones((1, 1), dtype=np.int32))[0])


def average_precision_interval(
    truth: NDArray[np.generic],
    scores: NDArray[np.generic],
    patients: NDArray[np.generic],
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Average precision with the percentile interval of a patient-clustered bootstrap, prevalence varying along.

    Resamples without positives are left out. All NaN where there are none at all.
    """
    is_positive, values = class_scores(truth, scores)
    value = average_precision(is_positive, values)
    if math.isnan(value):
        return Estimate(value, math.nan, math.nan, level)
    patient = patient_numbers(patients, len(values))
    figure = functools.partial(counted_average_precision, ranking(is_positive, values, patient))
    found = resampled(figure, patient, num_resamples=num_resamples, seed=seed)
    return Estimate(value, *percentile_bounds(found, level), level)


def precision_recall_band(
    truth: NDArray[np.generic],
    scores: NDArray[np.generic],
    patients: NDArray[np.generic],
    *,
    level: float = 0.95,
    num_resamples: int = 500,
    num_points: int = 101,
    seed: int = 0,
) -> PrecisionRecallBand:
    """Pointwise percentile band of the precision at the highest threshold that reaches a recall.

    At recall 0 that is the highest threshold with a positive.

    Raises:
        ValueError: there are no positives.
    """
    is_positive, values = class_scores(truth, scores)
    if not is_positive.any():
        raise ValueError("a precision-recall band needs positive images")
    calls = falling_calls(is_positive, values, patient_numbers(patients, len(values)))
    grid = np.linspace(0, 1, num_points)
    found = [
        _precision_at(grid, hits, alarms)
        for hits, alarms in calls.resampled(num_resamples=num_resamples, seed=seed)
        if hits[-1]
    ]
    low, high = np.quantile(np.array(found), [(1 - level) / 2, (1 + level) / 2], axis=0)
    curve = _precision_at(grid, *calls.once())
    return PrecisionRecallBand(recall=grid, precision=curve, low=low, high=high, level=level)


def _precision_at(grid: Floats, hits: Totals, alarms: Totals) -> Floats:
    # A recall is reached where the hits are no fewer than its share of them, but at least one.
    wanted = np.maximum(1, np.ceil(grid * hits[-1] - 1e-9))
    place = np.searchsorted(hits, wanted)
    found: Floats = hits[place] / (hits[place] + alarms[place])
    return found
