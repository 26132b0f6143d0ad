"""What is called positive as the threshold falls, in every resample of the patients."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.resampling import Counts, patient_counts
from raydr.metrics.roc import Bools, class_scores

Totals = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Calls:
    """A data set by falling score, sorted once for all resamples."""

    is_positive: Bools
    patient: NDArray[np.intp]
    ends: NDArray[np.intp]
    """Where each distinct score's images end: the thresholds."""

    def counted(self, counts: Counts) -> tuple[Totals, Totals]:
        """True and false positives [resamples, thresholds] with each image as often as its patient was drawn."""
        weights = np.take(counts, self.patient, axis=1)
        called = np.take(np.cumsum(weights, axis=1, dtype=np.int64), self.ends, axis=1)
        hits = np.take(np.cumsum(weights * self.is_positive, axis=1, dtype=np.int64), self.ends, axis=1)
        return hits, called - hits

    def once(self) -> tuple[Totals, Totals]:
        """True and false positives [thresholds] with every image counted once."""
        hits, alarms = self.counted(np.ones((1, int(self.patient.max()) + 1), dtype=np.int32))
        return hits[0], alarms[0]

    def resampled(self, *, num_resamples: int, seed: int) -> Iterator[tuple[Totals, Totals]]:
        """True and false positives [thresholds] of each resample of the patients."""
        for counts in patient_counts(self.patient, num_resamples=num_resamples, seed=seed):
            yield from zip(*self.counted(counts), strict=True)


def falling_calls(truth: NDArray[np.generic], scores: NDArray[np.generic], patient: NDArray[np.intp]) -> Calls:
    """The calls of a data set; ``patient`` is the number of each image's patient."""
    is_positive, values = class_scores(truth, scores)
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[order]) != 0, True)) if len(values) else np.empty(0, dtype=np.intp)
    return Calls(is_positive=is_positive[order], patient=patient[order], ends=ends)
