"""The receiver operating characteristic and the area under it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RocCurve:
    """Sensitivity against false positive rate, from (0, 0) to (1, 1), one point a distinct score."""

    false_positive_rate: Floats
    sensitivity: Floats
    threshold: Floats


def class_scores(truth: NDArray[np.generic], scores: NDArray[np.generic]) -> tuple[Bools, Floats]:
    """Truth as booleans and scores as numbers, once they are known to be vectors of one length and all finite."""
    is_positive, values = np.asarray(truth, dtype=bool), np.asarray(scores, dtype=np.float64)
    if is_positive.ndim != 1 or is_positive.shape != values.shape:
        raise ValueError(f"truth and scores must be vectors of one length, got {is_positive.shape} and {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"scores: {int((~np.isfinite(values)).sum())} are not finite")
    return is_positive, values


def auc(truth: NDArray[np.generic], scores: NDArray[np.generic]) -> float:
    """Probability that a positive scores above a negative, ties counting half (doi:10.1148/radiology.143.1.7063747).

    NaN where only one class is present: there is no such pair to compare.
    """
    is_positive, values = class_scores(truth, scores)
    positive, negative = values[is_positive], np.sort(values[~is_positive])
    wins = np.searchsorted(negative, positive, side="left") + np.searchsorted(negative, positive, side="right")
    pairs = 2 * len(positive) * len(negative)
    return int(wins.sum()) / pairs if pairs else math.nan


def roc_curve(truth: NDArray[np.generic], scores: NDArray[np.generic]) -> RocCurve:
    """The ROC curve, a score counting as a positive call where it is at or above the threshold."""
    is_positive, values = class_scores(truth, scores)
    if is_positive.all() or not is_positive.any():
        raise ValueError("an ROC curve needs images of both classes")
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.concatenate((np.diff(values[order]) != 0, [True])))
    hits, alarms = np.cumsum(is_positive[order])[ends], np.cumsum(~is_positive[order])[ends]
    return RocCurve(
        false_positive_rate=np.concatenate(([0.0], alarms / alarms[-1])),
        sensitivity=np.concatenate(([0.0], hits / hits[-1])),
        threshold=np.concatenate(([np.inf], values[order][ends])),
    )
