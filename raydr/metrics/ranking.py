"""A data set in the order of its scores, sorted once for all resamples of its patients."""

from dataclasses import dataclass

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
    )


def counted_auc(ranked: Ranking, counts: Counts) -> Floats:
    """The AUC of every resample [resamples]; NaN where it holds one class only.

    It is the one of `auc` with each image as often as its patient: a sum over positives of the negatives counted below,
    in whole numbers, so that nothing is rounded before the last division.
    """
    positives = counts[:, ranked.positive]
    below = np.zeros((len(counts), len(ranked.negative) + 1), dtype=np.int32)
    np.cumsum(counts[:, ranked.negative], axis=1, out=below[:, 1:])
    wins = np.einsum("rp,rp->r", positives, below[:, ranked.above] + below[:, ranked.not_below], dtype=np.int64)
    pairs = positives.sum(axis=1, dtype=np.int64) * below[:, -1]
    areas: Floats = np.full(len(counts), np.nan)
    np.divide(wins, 2 * pairs, out=areas, where=pairs > 0)
    return areas
