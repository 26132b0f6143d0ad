"""Confidence intervals that resample patients, not images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.roc import Floats, auc, weighted_auc


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


def patient_weights(patients: NDArray[np.generic], *, num_resamples: int, seed: int) -> Iterator[Floats]:
    """How often each image stands in each resample of patients, in blocks [resamples, images] of at most 32 MB."""
    names, patient_of_image = np.unique(np.asarray(patients), return_inverse=True)
    generator = np.random.default_rng(seed)
    chunk = max(1, 4_000_000 // max(1, len(patient_of_image)))
    for start in range(0, num_resamples, chunk):
        rows = min(chunk, num_resamples - start)
        counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=rows)
        yield counts[:, patient_of_image].astype(np.float64)


def auc_resamples(
    truth: NDArray[np.generic],
    scores: NDArray[np.generic],
    patients: NDArray[np.generic],
    *,
    num_resamples: int,
    seed: int,
) -> Floats:
    """AUC of each patient-clustered bootstrap resample (doi:10.1016/S1076-6332(00)80381-5), no single-class ones."""
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    sorted_truth, sorted_scores = np.asarray(truth, dtype=bool)[order], values[order]
    weights = patient_weights(np.asarray(patients)[order], num_resamples=num_resamples, seed=seed)
    found = [weighted_auc(sorted_truth, sorted_scores, rows) for rows in weights]
    resamples = np.concatenate(found)
    return resamples[np.isfinite(resamples)]


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

    Value and bounds are NaN where only one class is present.
    """
    value = auc(truth, scores)
    low = high = float("nan")
    if np.isfinite(value):
        resamples = auc_resamples(truth, scores, patients, num_resamples=num_resamples, seed=seed)
        tail = (1 - level) / 2
        low, high = (float(q) for q in np.quantile(resamples, [tail, 1 - tail]))
    return AucInterval(
        value=value,
        low=low,
        high=high,
        level=level,
        num_images=len(scores),
        num_patients=len(np.unique(patients)),
        num_positive=int(np.asarray(truth, dtype=bool).sum()),
    )
