"""The interval of an AUC by a formula: no resampling, no seed."""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.bootstrap import AucInterval
from raydr.metrics.newcombe import bounds_without_spread
from raydr.metrics.resampling import patient_numbers
from raydr.metrics.roc import auc, class_scores
from raydr.metrics.standard_error import clustered_standard_error, placements


def delong_interval(
    truth: NDArray[np.generic],
    scores: NDArray[np.generic],
    *,
    patients: NDArray[np.generic] | None = None,
    level: float = 0.95,
) -> AucInterval:
    """AUC with DeLong's interval (doi:10.2307/2531595); one row a patient unless ``patients`` says otherwise.

    With patients of several images the standard error is Obuchowski's (doi:10.2307/2533958). The interval is symmetric
    on the logit scale: it stays between 0 and 1, and covers as often as it says for high areas and few patients
    (doi:10.1177/0962280207087173). Where the data give no spread (classes apart, one patient in a class), it is that of
    `newcombe_bounds`. Value and bounds are NaN where only one class is present.
    """
    is_positive, _ = class_scores(truth, scores)
    patient = np.arange(len(is_positive)) if patients is None else patient_numbers(patients, len(is_positive))
    value = auc(is_positive, scores)
    low = high = math.nan
    if math.isfinite(value):
        error = clustered_standard_error(is_positive, placements(is_positive, scores), patient)
        if error > 0 and 0 < value < 1:
            half = NormalDist().inv_cdf((1 + level) / 2) * error / (value * (1 - value))
            logit = math.log(value / (1 - value))
            low, high = (1 / (1 + math.exp(-(logit + step))) for step in (-half, half))
        else:
            low, high = bounds_without_spread(value, is_positive, patient, level=level)
    return AucInterval(
        value=value,
        low=low,
        high=high,
        level=level,
        num_images=len(is_positive),
        num_patients=len(np.unique(patient)),
        num_positive=int(is_positive.sum()),
    )
