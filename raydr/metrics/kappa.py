"""Agreement on the five grades."""

import math

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.estimate import Estimate
from raydr.metrics.resampling import patient_counts, patient_numbers, percentile_bounds
from raydr.metrics.roc import Floats


def confusion_matrix(
    truth: NDArray[np.generic], predicted: NDArray[np.generic], num_grades: int = 5
) -> NDArray[np.int64]:
    """Image counts [true grade, predicted grade]."""
    rows, columns = np.asarray(truth), np.asarray(predicted)
    if rows.ndim != 1 or rows.shape != columns.shape:
        raise ValueError(f"truth and predicted must be vectors of one length, got {rows.shape} and {columns.shape}")
    for name, grades in (("truth", rows), ("predicted", columns)):
        is_grade = np.isin(grades, np.arange(num_grades))
        if not is_grade.all():
            raise ValueError(f"{name}: {int((~is_grade).sum())} values are not grades 0 to {num_grades - 1}")
    cells = rows.astype(np.int64) * num_grades + columns.astype(np.int64)
    return np.bincount(cells, minlength=num_grades**2).reshape(num_grades, num_grades).astype(np.int64)


def quadratic_kappa(truth: NDArray[np.generic], predicted: NDArray[np.generic], num_grades: int = 5) -> float:
    """Cohen's kappa with squared grade distances as weights (doi:10.1037/h0026256).

    1 is perfect agreement, 0 is what the two sets of grades would reach by chance. NaN where chance alone agrees
    perfectly: both hold one and the same grade, or there are no images.
    """
    return float(_kappa(confusion_matrix(truth, predicted, num_grades)[None])[0])


def kappa_interval(
    truth: NDArray[np.generic],
    predicted: NDArray[np.generic],
    patients: NDArray[np.generic],
    *,
    num_grades: int = 5,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Quadratic kappa with the percentile interval of a patient-clustered bootstrap.

    All NaN where kappa is; bounds are 1 where every image has its grade, which for a few images says little.
    """
    rows, columns = np.asarray(truth), np.asarray(predicted)
    value = quadratic_kappa(rows, columns, num_grades)
    if math.isnan(value):
        return Estimate(value, math.nan, math.nan, level)
    patient = patient_numbers(patients, len(rows))
    cell = rows.astype(np.int64) * num_grades + columns.astype(np.int64)
    order = np.argsort(cell, kind="stable")  # images of a cell side by side: a cell's count is the sum of a stretch
    filled, starts = np.unique(cell[order], return_index=True)
    patient_of_cell = patient[order]
    found = []
    for counts in patient_counts(patient, num_resamples=num_resamples, seed=seed):
        observed = np.zeros((len(counts), num_grades**2), dtype=np.int64)
        observed[:, filled] = np.add.reduceat(np.take(counts, patient_of_cell, axis=1), starts, axis=1, dtype=np.int64)
        found.append(_kappa(observed.reshape(-1, num_grades, num_grades)))
    return Estimate(value, *percentile_bounds(np.concatenate(found), level), level)


def _kappa(observed: NDArray[np.int64]) -> Floats:
    """Quadratic kappa of each matrix [matrices, grade, grade]."""
    grades = np.arange(observed.shape[1])
    distance = (grades[:, None] - grades[None, :]) ** 2
    total = np.maximum(1, observed.sum(axis=(1, 2)))
    expected = observed.sum(axis=2)[:, :, None] * observed.sum(axis=1)[:, None, :] / total[:, None, None]
    by_chance = (distance * expected).sum(axis=(1, 2))
    ratio: Floats = np.full(len(observed), np.nan)
    np.divide((distance * observed).sum(axis=(1, 2)), by_chance, out=ratio, where=by_chance > 0)
    return 1 - ratio
