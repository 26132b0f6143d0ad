"""A data set in the order of its scores, sorted once for all resamples of its patients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.resampling import Counts
from raydr.metrics.roc import Floats, class_scores


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Both classes by rising score: whose images they are, and how many negatives each positive is above."""

    positive: NDArray[np.intp]
    """The patient of each positive."""
    negative: NDArray[np.intp]
    """The patient of each negative."""
    above: NDArray[np.intp]
    """[positives] Negatives with a lower score."""
    not_below: NDArray[np.intp]
    """[positives] Negatives with a lower score or the same."""
    above_positives: NDArray[np.intp]
    """[positives] Positives with a lower score."""


def ranking(truth: NDArray[np.generic], scores: NDArray[np.generic], patient: NDArray[np.intp]) -> Ranking:
    """The ranking of a data set; ``patient`` is the number of each image's patient."""
    is_positive, values = class_scores(truth, scores)
    order = np.argsort(values, kind="stable")
    is_positive, values, patient = is_positive[order], values[order], patient[order]
    positive, negative = values[is_positive], values[~is_positive]
    return Ranking(
        positive=patient[is_positive],
        negative=patient[~is_positive],
        above=np.searchsorted(negative, positive, side="left"),
        not_below=np.searchsorted(negative, positive, side="right"),
        above_positives=np.searchsorted(positive, positive, side="left"),
    )


def counted_auc(ranked: Ranking, counts: Counts) -> Floats:
    """The AUC of every resample [resamples]; NaN where it holds one class only.

    It is the one of `auc` with each image as often as its patient: a sum over positives of the negatives counted below,
    in whole numbers, so that nothing is rounded before the last division.
    """
    positives, below = np.take(counts, ranked.positive, axis=1), _running(counts, ranked.negative)
    twice = np.take(below, ranked.above, axis=1) + np.take(below, ranked.not_below, axis=1)
    wins = np.einsum("rp,rp->r", positives, twice, dtype=np.int64)
    return _ratio(wins, 2 * positives.sum(axis=1, dtype=np.int64) * below[:, -1])


def counted_average_precision(ranked: Ranking, counts: Counts) -> Floats:
    """The average precision of every resample [resamples]; NaN where it holds no positives.

    It is the one of `average_precision` with each image as often as its patient: the precision of calling everything
    from a positive's score on, its mean over the positives.
    """
    positives, below = np.take(counts, ranked.positive, axis=1), _running(counts, ranked.negative)
    positives_below = _running(counts, ranked.positive)
    hits = positives_below[:, -1:] - np.take(positives_below, ranked.above_positives, axis=1)
    alarms = below[:, -1:] - np.take(below, ranked.above, axis=1)
    precision = hits / np.maximum(1, hits + alarms)  # a positive that was not drawn may be above all that were
    return _ratio((positives * precision).sum(axis=1), positives_below[:, -1])


def _running(counts: Counts, patient: NDArray[np.intp]) -> Counts:
    """[resamples, images + 1] How often the images before each place were drawn."""
    sums = np.zeros((len(counts), len(patient) + 1), dtype=np.int32)
    np.cumsum(np.take(counts, patient, axis=1), axis=1, out=sums[:, 1:])
    return sums


def _ratio(parts: NDArray[np.number[Any]], wholes: NDArray[np.signedinteger[Any]]) -> Floats:
    ratios: Floats = np.full(len(parts), np.nan)
    np.divide(parts, wholes, out=ratios, where=wholes > 0)
    return ratios
