"""Bootstrap resamples of patients, each as how often it holds every patient."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.roc import Floats

Counts = NDArray[np.int32]
"""[resamples, patients]: how often a patient was drawn."""

_CELLS_A_BLOCK = 1 << 16  # so that what is computed of a block stays in a core's cache


def patient_numbers(patients: NDArray[np.generic], num_images: int) -> NDArray[np.intp]:
    """The patient of each image as a number from 0, in the order of the patients' names.

    Raises:
        ValueError: there is not one patient an image.
    """
    names = np.asarray(patients)
    if names.shape != (num_images,):
        raise ValueError(f"patients must be a vector of {num_images}, one an image, got {names.shape}")
    numbers: NDArray[np.intp] = np.unique(names, return_inverse=True)[1]
    return numbers


def patient_counts(patient: NDArray[np.intp], *, num_resamples: int, seed: int) -> Iterator[Counts]:
    """Resamples of as many patients as there are, drawn with replacement, in blocks of some rows.

    Every image of a patient comes along (doi:10.1016/S1076-6332(00)80381-5). The draws depend on the seed and the
    number of patients alone, not on how the rows are blocked.

    Args:
        patient: Of every image, as `patient_numbers` gives it.
        num_resamples: Rows of all blocks together.
        seed: Of the draws.
    """
    if not len(patient):
        return
    num_patients = int(patient.max()) + 1
    generator = np.random.default_rng(seed)
    rows = max(1, _CELLS_A_BLOCK // len(patient))
    for start in range(0, num_resamples, rows):
        size = min(rows, num_resamples - start)
        drawn = generator.integers(num_patients, size=(size, num_patients), dtype=np.uint32).astype(np.intp)
        drawn += num_patients * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * num_patients)
        yield counts.reshape(size, num_patients).astype(np.int32)


def resampled(
    figure: Callable[[Counts], Floats], patient: NDArray[np.intp], *, num_resamples: int, seed: int
) -> Floats:
    """``figure`` of every resample of `patient_counts`, where it is defined; of a block it gives a value a row."""
    blocks = patient_counts(patient, num_resamples=num_resamples, seed=seed)
    values: Floats = np.concatenate([np.empty(0), *(figure(counts) for counts in blocks)])
    found: Floats = values[np.isfinite(values)]
    return found


def percentile_bounds(resamples: Floats, level: float) -> tuple[float, float]:
    """The percentile interval of a bootstrap; resamples without the figure (NaN) are left out, NaN where all are."""
    found = resamples[np.isfinite(resamples)]
    if not len(found):
        return math.nan, math.nan
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
