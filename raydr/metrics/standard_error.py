"""The standard error of an AUC, with patients as the unit."""

import math

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.resampling import patient_numbers
from raydr.metrics.roc import Bools, Floats, class_scores


def auc_standard_error(truth: NDArray[np.generic], scores: NDArray[np.generic], patients: NDArray[np.generic]) -> float:
    """Standard error of an AUC over patients with several images each (Obuchowski, doi:10.2307/2533958).

    With one image a patient it is DeLong's (doi:10.2307/2531595). Unlike a bootstrap it costs one sort and draws
    nothing, so that every epoch can have it. NaN where fewer than two patients have images of a class; 0 where the
    classes are apart without an exception, which says little.
    """
    is_positive, values = class_scores(truth, scores)
    patient = patient_numbers(patients, len(values))
    return clustered_standard_error(is_positive, placements(is_positive, values), patient)


def placements(truth: NDArray[np.generic], scores: NDArray[np.generic]) -> Floats:
    """For each image the share of the other class that it is on the right side of, ties counting half, [N].

    Their mean over either class is the AUC. 0.5 says nothing where there is no image of the other class.
    """
    is_positive, values = class_scores(truth, scores)
    positive, negative = values[is_positive], values[~is_positive]
    right = np.full(len(values), 0.5)
    if len(positive) and len(negative):
        right[is_positive] = _share_below(positive, negative)
        right[~is_positive] = 1 - _share_below(negative, positive)
    return right


def clustered_standard_error(is_positive: Bools, placement: Floats, patient: NDArray[np.intp]) -> float:
    """Standard error of the mean placement of a class, whose images are the patients' (as `auc_standard_error`).

    The formula is linear in the placements: those of one model less those of another one give the standard error of the
    paired difference of the two AUCs. ``patient`` is the number of each image's patient.
    """
    mean = float(placement[is_positive].mean()) if is_positive.any() else math.nan
    excess, counts = [], []
    for of_class in (is_positive, ~is_positive):
        excess.append(np.bincount(patient, weights=(placement - mean) * of_class))
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
    share: Floats = below / (2 * len(others))
    return share


def _of_patients(count: int) -> float:
    return count / (count - 1)
