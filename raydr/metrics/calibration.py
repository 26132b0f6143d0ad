"""Whether a probability of 0.7 comes true seven times in ten."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.operating import Proportion, at_threshold
from raydr.metrics.resampling import patient_numbers
from raydr.metrics.roc import Bools, Floats, class_scores


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """The images whose probability lies in [low, high): how many, what was said of them, and what came true."""

    low: float
    high: float
    num_images: int
    mean_probability: float
    observed: Proportion


def calibration_bins(
    truth: NDArray[np.generic],
    probabilities: NDArray[np.generic],
    patients: NDArray[np.generic],
    *,
    num_bins: int = 10,
    level: float = 0.95,
) -> tuple[CalibrationBin, ...]:
    """The filled ones of ``num_bins`` bins of equal width (doi:10.1145/1102351.1102430), the last closed above.

    Intervals of the observed shares are those of `at_threshold`, clustered by patient.
    """
    is_positive, values = class_probabilities(truth, probabilities)
    patient = patient_numbers(patients, len(values))
    return _bins(is_positive, values, patient, np.linspace(0, 1, num_bins + 1), level)


def adaptive_calibration_bins(
    truth: NDArray[np.generic],
    probabilities: NDArray[np.generic],
    patients: NDArray[np.generic],
    *,
    num_bins: int = 10,
    level: float = 0.95,
) -> tuple[CalibrationBin, ...]:
    """At most ``num_bins`` bins of about as many images each (arXiv:1904.01685), the last closed above.

    Where most probabilities are near 0 or 1, bins of equal width leave the middle to a few images and say nothing about
    the ends. Images of one probability stay in one bin, so that the order of the rows plays no part.
    """
    is_positive, values = class_probabilities(truth, probabilities)
    patient = patient_numbers(patients, len(values))
    if not len(values):
        return ()
    inner = np.quantile(values, np.arange(1, num_bins) / num_bins, method="inverted_cdf")
    edges = np.unique(np.concatenate(([0.0], inner, [1.0])))
    return _bins(is_positive, values, patient, edges, level)


def calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    """Expected calibration error (arXiv:1706.04599, eq. 3): mean distance of said and observed; NaN without images.

    Adaptive if the bins are.
    """
    total = sum(entry.num_images for entry in bins)
    distance = sum(entry.num_images * abs(entry.mean_probability - entry.observed.value) for entry in bins)
    return distance / total if total else float("nan")


def brier_score(truth: NDArray[np.generic], probabilities: NDArray[np.generic]) -> float:
    """Mean squared distance of probability and truth, 0 to 1; NaN without images.

    Brier, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    is_positive, values = class_probabilities(truth, probabilities)
    return float(((values - is_positive) ** 2).mean()) if len(values) else float("nan")


def class_probabilities(truth: NDArray[np.generic], probabilities: NDArray[np.generic]) -> tuple[Bools, Floats]:
    """Truth as booleans and probabilities as numbers, once they are known to fit together and to be in [0, 1]."""
    is_positive, values = class_scores(truth, probabilities)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("probabilities must lie between 0 and 1")
    return is_positive, values


def share(hits: NDArray[np.bool_], patients: NDArray[np.generic], *, level: float = 0.95) -> Proportion:
    """How often ``hits`` holds, with an interval clustered by patient; all NaN where there are no images."""
    every = np.ones(len(hits), dtype=bool)
    return at_threshold(every, hits.astype(np.float64), 0.5, patients=patients, level=level).sensitivity


def _bins(
    is_positive: Bools, values: Floats, patient: NDArray[np.intp], edges: Floats, level: float
) -> tuple[CalibrationBin, ...]:
    """The filled ones of the bins between ``edges``."""
    bin_of_image = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    found = []
    for place in np.unique(bin_of_image).tolist():
        inside = bin_of_image == place
        found.append(
            CalibrationBin(
                low=float(edges[place]),
                high=float(edges[place + 1]),
                num_images=int(inside.sum()),
                mean_probability=float(values[inside].mean()),
                observed=share(is_positive[inside], patient[inside], level=level),
            )
        )
    return tuple(found)
