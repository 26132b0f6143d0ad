"""The receiver operating characteristic and the area under it."""

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


def _checked(truth: NDArray[np.generic], scores: NDArray[np.generic]) -> tuple[Bools, Floats]:
    truth_bool, scores_float = np.asarray(truth, dtype=bool), np.asarray(scores, dtype=np.float64)
    if truth_bool.ndim != 1 or truth_bool.shape != scores_float.shape:
        raise ValueError(
            f"truth and scores must be vectors of one length, got {truth_bool.shape} and {scores_float.shape}"
        )
    if not np.isfinite(scores_float).all():
        raise ValueError(f"scores: {int((~np.isfinite(scores_float)).sum())} are not finite")
    return truth_bool, scores_float


def auc(truth: NDArray[np.generic], scores: NDArray[np.generic]) -> float:
    """Probability that a positive scores above a negative, ties counting half (doi:10.1148/radiology.143.1.7063747).

    NaN where only one class is present: there is no such pair to compare.
    """
    is_positive, values = _checked(truth, scores)
    order = np.argsort(values, kind="stable")
    return float(weighted_auc(is_positive[order], values[order], np.ones((1, len(values))))[0])


def weighted_auc(sorted_truth: Bools, sorted_scores: Floats, weights: Floats) -> Floats:
    """AUC of every row of ``weights`` [resamples, images]; images sorted by rising score.

    A resample is a vector of counts, so all bootstrap resamples share one sort. NaN where a row has weight in one
    class only.
    """
    positives = weights * sorted_truth
    negatives = weights * ~sorted_truth
    starts = (
        np.flatnonzero(np.concatenate(([True], np.diff(sorted_scores) > 0)))
        if len(sorted_scores)
        else np.array([], int)
    )
    if not len(starts):
        return np.full(len(weights), np.nan)
    tied_positives = np.add.reduceat(positives, starts, axis=1)
    tied_negatives = np.add.reduceat(negatives, starts, axis=1)
    below = np.cumsum(tied_negatives, axis=1) - tied_negatives
    wins = np.sum(tied_positives * (below + 0.5 * tied_negatives), axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    areas: Floats = np.full(len(weights), np.nan)
    np.divide(wins, pairs, out=areas, where=pairs > 0)
    return areas


def roc_curve(truth: NDArray[np.generic], scores: NDArray[np.generic]) -> RocCurve:
    """The ROC curve, a score counting as a positive call where it is at or above the threshold."""
    is_positive, values = _checked(truth, scores)
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
