"""The standard error of an AUC, with patients as the unit."""

import math

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.roc import Floats


def auc_standard_error(truth: NDArray[np.generic], scores: NDArray[np.generic], patients: NDArray[np.generic]) -> float:
    """Standard error of an AUC over patients with several images each (Obuchowski, doi:10.2307/2533958).

    With one image a patient it is DeLong's (doi:10.2307/2531595). Unlike a bootstrap it costs one sort and draws
    nothing, so that every epoch can have it. NaN where fewer than two patients have images of a class; 0 where the
    classes are apart without an exception, which says little.
    """
    is_positive, values = np.asarray(truth, dtype=bool), np.asarray(scores, dtype=np.float64)
    patient = np.unique(np.asarray(patients), return_inverse=True)[1]
    positive, negative = values[is_positive], values[~is_positive]
    # For each image the share of the other class that it is on the right side of, ties counting half.
    right = np.empty(len(values))
    right[is_positive] = _share_below(positive, negative)
    right[~is_positive] = 1 - _share_below(negative, positive)
    area = float(right[is_positive].mean()) if len(positive) and len(negative) else math.nan
    excess, counts = [], []
    for of_class in (is_positive, ~is_positive):
        excess.append(np.bincount(patient, weights=(right - area) * of_class))
        counts.append((int(of_class.sum()), int((np.bincount(patient, weights=of_class) > 0).sum())))
    (num_positive, with_positive), (num_negative, with_negative) = counts
    if min(with_positive, with_negative) < 2:
        return math.nan
    variance = (
        _of_patients(with_positive) * float(excess[0] @ excess[0]) / num_positive**2
        + _of_patients(with_negative) * float(excess[1] @ excess[1]) / num_negative**2
        + 2 * _of_patients(int(patient.max()) + 1) * float(excess[0] @ excess[1]) / (num_positive * num_negative)
    )
    return math.sqrt(max(0.0, variance))


def _share_below(values: Floats, others: Floats) -> Floats:
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    share: Floats = below / (2 * max(1, len(others)))
    return share


def _of_patients(count: int) -> float:
    return count / (count - 1)
