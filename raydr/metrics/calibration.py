"""Whether a probability of 0.7 comes true seven times in ten."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.operating import Proportion, at_threshold


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
) -> tuple[CalibrationBin, ...]:
    """The filled ones of ``num_bins`` bins of equal width (doi:10.1145/1102351.1102430), the last closed above.

    Intervals of the observed shares are those of `at_threshold`, clustered by patient.
    """
    is_positive, values = np.asarray(truth, dtype=bool), np.asarray(probabilities, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("probabilities must lie between 0 and 1")
    edges = np.linspace(0, 1, num_bins + 1)
    bin_of_image = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, num_bins - 1)
    found = []
    for place in np.unique(bin_of_image).tolist():
        inside = bin_of_image == place
        found.append(
            CalibrationBin(
                low=float(edges[place]),
                high=float(edges[place + 1]),
                num_images=int(inside.sum()),
                mean_probability=float(values[inside].mean()),
                observed=share(is_positive[inside], np.asarray(patients)[inside]),
            )
        )
    return tuple(found)


def calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    """Expected calibration error (arXiv:1706.04599, eq. 3): mean distance of said and observed; NaN without images."""
    total = sum(entry.num_images for entry in bins)
    distance = sum(entry.num_images * abs(entry.mean_probability - entry.observed.value) for entry in bins)
    return distance / total if total else float("nan")


def share(hits: NDArray[np.bool_], patients: NDArray[np.generic]) -> Proportion:
    """How often ``hits`` holds, with an interval clustered by patient; all NaN where there are no images."""
    every = np.ones(len(hits), dtype=bool)
    return at_threshold(every, hits.astype(np.float64), 0.5, patients=patients).sensitivity
