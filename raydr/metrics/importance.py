"""How much a searched setting has to do with the figure that it was searched by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.roc import Floats

_NUM_SHUFFLES = 2000


@dataclass(frozen=True, slots=True)
class Importance:
    """The share of a figure's variance, in ranks, that goes with one setting alone."""

    share: float
    """Adjusted for degrees of freedom, at most 1; at or below 0 where the setting tells nothing."""
    chance: float
    """What 95 of 100 shuffles stay below, the setting having nothing to do with the figure."""

    @property
    def is_above_chance(self) -> bool:
        """Whether there are grounds to believe it."""
        return self.share > self.chance


def importance(values: Sequence[Any], figures: Floats, *, seed: int = 0) -> Importance | None:
    """The adjusted coefficient of determination of the figures' ranks on one setting, beside what chance would give.

    A number explains by a parabola in its ranks, so that a best value in the middle is found too, any other value by
    its group's mean. Interactions are not seen. For the 16 trials of a search this is better than a forest's figures
    (fANOVA, permutation), which need more trials than settings by far; hence also the shuffles. None where nothing can
    be told: too few trials, one value, one figure.

    Args:
        values: The setting in every trial; None where a trial has not got it, and then it is left out.
        figures: Of the trials, all finite.
        seed: Of the shuffles.
    """
    has = np.array([value is not None for value in values], dtype=bool)
    known, ranks = [value for value in values if value is not None], _ranks(np.asarray(figures)[has])
    centred = ranks - ranks.mean() if len(ranks) else ranks
    basis = _basis(known)
    remaining = len(known) - 1 - basis.shape[1]
    if not basis.shape[1] or remaining < 1 or not np.ptp(centred) > 0:
        return None
    shuffles = np.random.default_rng(seed).permuted(np.tile(centred, (_NUM_SHUFFLES, 1)), axis=1)
    explained = ((np.vstack([centred, shuffles]) @ basis) ** 2).sum(axis=1) / (centred @ centred)
    adjusted = 1 - (1 - explained) * (len(known) - 1) / remaining
    return Importance(float(adjusted[0]), float(np.quantile(adjusted[1:], 0.95)))


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether all values are numbers, and none is a yes or no."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _basis(values: Sequence[Any]) -> Floats:
    """Orthonormal columns [trials, free], the constant taken out, in which a setting can explain."""
    if not values:
        return np.empty((0, 0))
    if are_numbers(values):
        place = _ranks(np.array(values, dtype=np.float64))
        scaled = (place - place.mean()) / max(1.0, len(place))
        columns = [scaled**power for power in range(1, min(2, len(np.unique(place)) - 1) + 1)]
    else:
        groups: NDArray[np.intp] = np.unique([str(value) for value in values], return_inverse=True)[1]
        columns = [(groups == group).astype(np.float64) for group in range(1, int(groups.max()) + 1)]
    design = np.column_stack([np.ones(len(values)), *columns])
    basis: Floats = np.linalg.qr(design)[0][:, 1:]
    return basis


def _ranks(values: Floats) -> Floats:
    """Ranks from 0, ties sharing their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = np.cumsum(counts) - (counts + 1) / 2
    return ranks[place]
