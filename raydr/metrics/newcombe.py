"""Bounds of an AUC that need no spread of the data: for classes that are apart, and for a handful of patients."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.bisection import bisection
from raydr.metrics.roc import Bools


def newcombe_bounds(area: float, num_positive: int, num_negative: int, *, level: float = 0.95) -> tuple[float, float]:
    """The score interval of an AUC by Newcombe's method 5 (doi:10.1002/sim.2324).

    Where positives and negatives do not overlap, DeLong's variance is zero, and every resample of a bootstrap has the
    same AUC; how few patients there were tells how much that is worth.

    Args:
        area: The AUC, 0 to 1.
        num_positive: Patients with positive images, at least 1.
        num_negative: Patients with negative images, at least 1.
        level: Of the interval.
    """
    square = NormalDist().inv_cdf((1 + level) / 2) ** 2
    weight, pairs = (num_positive + num_negative) / 2 - 1, num_positive * num_negative

    def is_rejected(bound: float) -> bool:
        spread = 1 + weight * ((1 - bound) / (2 - bound) + bound / (1 + bound))
        return (bound - area) ** 2 > square * bound * (1 - bound) * spread / pairs

    return bisection(is_rejected, 0.0, area), bisection(is_rejected, 1.0, area)


def bounds_without_spread(
    area: float, is_positive: Bools, patients: NDArray[np.generic], *, level: float
) -> tuple[float, float]:
    """`newcombe_bounds` of images of both classes, their patients being what is counted."""
    owners = np.asarray(patients)
    counts = (len(np.unique(owners[of_class])) for of_class in (is_positive, ~is_positive))
    return newcombe_bounds(area, *counts, level=level)
