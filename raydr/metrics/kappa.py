"""Agreement on the five grades."""

import math

import numpy as np
from numpy.typing import NDArray


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
    observed = confusion_matrix(truth, predicted, num_grades).astype(np.float64)
    grades = np.arange(num_grades)
    distance = (grades[:, None] - grades[None, :]) ** 2
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / max(1.0, observed.sum())
    by_chance = float((distance * expected).sum())
    return 1 - float((distance * observed).sum()) / by_chance if by_chance > 0 else math.nan
