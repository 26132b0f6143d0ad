"""Which trial is the best, and which ones the validation patients cannot tell from it."""

import math
from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar


class Ranked(Protocol):
    """A trial's figures on the validation patients."""

    @property
    def number(self) -> int:
        """Its number in the search."""

    @property
    def best_auc(self) -> float:
        """NaN where it has none."""

    @property
    def standard_error(self) -> float:
        """Of that AUC, patients being its unit; NaN where it has none."""


Trial = TypeVar("Trial", bound=Ranked)


def best_first(trials: Collection[Trial]) -> list[Trial]:
    """The trials by AUC, equal ones by number, those without one last."""
    return sorted(trials, key=lambda trial: (-trial.best_auc if math.isfinite(trial.best_auc) else 1, trial.number))


def not_told_apart(trials: Sequence[Ranked]) -> frozenset[int]:
    """Numbers of the trials within one standard error of the best one, and its own.

    The one-standard-error rule of Breiman et al. (Classification and Regression Trees, 1984, section 3.4.3). The error
    is the best one's. Trials share their patients, so their differences are surer than that: it is a careful rule.
    """
    best = best_first(trials)[0]
    error = best.standard_error if math.isfinite(best.standard_error) else 0.0
    return frozenset(trial.number for trial in trials if trial.best_auc >= best.best_auc - error)
