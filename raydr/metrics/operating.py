"""Operating points: thresholds chosen on a validation set, and what they do on another one."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from raydr.metrics.resampling import patient_numbers
from raydr.metrics.roc import Bools, RocCurve, class_scores, roc_curve

_SPECIFICITIES = (0.98, 0.95)
_SENSITIVITIES = (0.97, 0.95, 0.90)
_ROUNDING = 1e-12  # a rate of exactly 0.98 must count as 0.98 after the division


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A named threshold; NaN where the set it was chosen on has one class only."""

    name: str
    threshold: float


@dataclass(frozen=True, slots=True)
class Proportion:
    """A share with its interval, Wilson's where nothing else is said; all NaN where nothing was counted."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """The share as it is quoted: value and interval to three digits."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class PointFigures:
    """What one threshold does on one data set: four shares with intervals, and the four counts behind them."""

    threshold: float
    sensitivity: Proportion
    specificity: Proportion
    ppv: Proportion
    npv: Proportion
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int


@dataclass(frozen=True, slots=True)
class PredictiveValues:
    """Predictive values at a stated prevalence, with intervals of the level that the shares' had."""

    prevalence: float
    ppv: Proportion
    npv: Proportion


def wilson_interval(value: float, total: float, *, level: float = 0.95) -> Proportion:
    """Wilson score interval of a share of ``total`` trials (doi:10.1080/01621459.1927.10502953)."""
    if not total > 0:
        return Proportion(math.nan, math.nan, math.nan)
    limit = NormalDist().inv_cdf((1 + level) / 2)
    square = limit**2
    centre = (value + square / (2 * total)) / (1 + square / total)
    spread = value * (1 - value) / total + square / (4 * total**2)
    half = limit * math.sqrt(spread) / (1 + square / total)
    return Proportion(value, max(0.0, min(value, centre - half)), min(1.0, max(value, centre + half)))


def choose_operating_points(truth: NDArray[np.generic], scores: NDArray[np.generic]) -> tuple[OperatingPoint, ...]:
    """The screening thresholds of a validation set: error budgets of Gulshan (10.1001/jama.2016.17216), and Youden.

    Every threshold is finite unless only one class is present; then all are NaN.
    """
    is_positive = np.asarray(truth, dtype=bool)
    names = (
        *(f"sensitivity_at_specificity_{budget:.2f}" for budget in _SPECIFICITIES),
        *(f"specificity_at_sensitivity_{budget:.2f}" for budget in _SENSITIVITIES),
        "youden",
    )
    if is_positive.all() or not is_positive.any():
        return tuple(OperatingPoint(name, math.nan) for name in names)
    curve = roc_curve(is_positive, scores)
    specificity = 1 - curve.false_positive_rate
    picks = (
        *(_best(curve.sensitivity, among=specificity >= budget - _ROUNDING) for budget in _SPECIFICITIES),
        *(_best(specificity, among=curve.sensitivity >= budget - _ROUNDING) for budget in _SENSITIVITIES),
        _best(curve.sensitivity + specificity, among=np.ones(len(specificity), dtype=bool)),
    )
    return tuple(OperatingPoint(name, _finite(curve, pick)) for name, pick in zip(names, picks, strict=True))


def choose_thresholds(truth: NDArray[np.generic], scores: NDArray[np.generic]) -> dict[str, float]:
    """The thresholds of `choose_operating_points` by name, without those that one class alone cannot give."""
    points = choose_operating_points(truth, scores)
    return {point.name: point.threshold for point in points if math.isfinite(point.threshold)}


def _best(figure: NDArray[np.float64], *, among: Bools) -> int:
    """Index of the largest allowed figure; the fewest positive calls where it is reached more than once."""
    allowed = np.where(among, figure, -np.inf)
    return int(np.flatnonzero(allowed >= allowed.max() - _ROUNDING)[0])


def _finite(curve: RocCurve, pick: int) -> float:
    """The threshold of a curve's point, where "call nothing" is just above every score: JSON has no infinity."""
    return float(curve.threshold[pick]) if pick else float(np.nextafter(curve.threshold[1], np.inf))


def at_threshold(
    truth: NDArray[np.generic],
    scores: NDArray[np.generic],
    threshold: float,
    *,
    patients: NDArray[np.generic] | None = None,
    level: float = 0.95,
) -> PointFigures:
    """What calling ``score >= threshold`` positive does on a data set.

    Intervals are Wilson's. With ``patients`` their sample size is divided by the design effect of Rao and Scott
    (doi:10.2307/2532311), since two eyes of one patient are not two independent trials. A NaN threshold makes no calls
    at all: counts are zero and shares NaN.
    """
    is_positive, values = class_scores(truth, scores)
    is_called_for = np.full(values.shape, not math.isnan(threshold))
    is_called = values >= threshold
    groups = np.arange(len(values)) if patients is None else patient_numbers(patients, len(values))
    return PointFigures(
        threshold=float(threshold),
        sensitivity=_share(is_called, groups, among=is_called_for & is_positive, level=level),
        specificity=_share(~is_called, groups, among=is_called_for & ~is_positive, level=level),
        ppv=_share(is_positive, groups, among=is_called_for & is_called, level=level),
        npv=_share(~is_positive, groups, among=is_called_for & ~is_called, level=level),
        true_positives=int((is_called_for & is_called & is_positive).sum()),
        false_positives=int((is_called_for & is_called & ~is_positive).sum()),
        true_negatives=int((is_called_for & ~is_called & ~is_positive).sum()),
        false_negatives=int((is_called_for & ~is_called & is_positive).sum()),
    )


def _share(hits: Bools, groups: NDArray[np.intp], *, among: Bools, level: float) -> Proportion:
    """Share of ``hits`` among some images, its interval computed with as many trials as the groups are worth."""
    total = int(among.sum())
    if not total:
        return wilson_interval(math.nan, 0, level=level)
    hit_counts = np.bincount(groups[among], weights=hits[among])
    counts = np.bincount(groups[among])
    hit_counts, counts = hit_counts[counts > 0], counts[counts > 0]
    value, num_groups = float(hit_counts.sum() / total), len(counts)
    if num_groups == total:
        return wilson_interval(value, total, level=level)
    if value in (0.0, 1.0) or num_groups == 1:
        return wilson_interval(value, num_groups, level=level)  # no spread to estimate from: a patient counts once
    between = num_groups / (num_groups - 1) * float(((hit_counts - value * counts) ** 2).sum()) / total**2
    design_effect = max(1.0, between / (value * (1 - value) / total))
    return wilson_interval(value, total / design_effect, level=level)


def predictive_values_at(prevalence: float, sensitivity: Proportion, specificity: Proportion) -> PredictiveValues:
    """Predictive values by Bayes' rule from a sensitivity and a specificity, whose sets may have any prevalence.

    The log odds of a predictive value are a sum of two independent parts, one of the sensitivity and one of the
    specificity, whose intervals are joined as by Zou and Donner (doi:10.1002/sim.3095); so clustering by patient is in
    them. NaN where a share is NaN, or where nothing is called so at all.

    Args:
        prevalence: Share of referable images where the model is to be used, between 0 and 1, neither included.
        sensitivity: With its interval, of `at_threshold`.
        specificity: The same.

    Raises:
        ValueError: the prevalence is not between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence must be between 0 and 1, neither included, got {prevalence}")
    return PredictiveValues(
        prevalence=prevalence,
        ppv=_predictive_interval(sensitivity, specificity, math.log(prevalence / (1 - prevalence))),
        npv=_predictive_interval(specificity, sensitivity, math.log((1 - prevalence) / prevalence)),
    )


def _predictive_interval(right: Proportion, other: Proportion, prior: float) -> Proportion:
    """The share of right calls: ``right`` of the called class's images are called so, and not ``other`` of the rest."""
    value = _predictive_value(right.value, other.value, prior)
    if math.isnan(value):
        return Proportion(value, math.nan, math.nan)
    bounds = []
    for of_right, of_other in ((right.low, other.low), (right.high, other.high)):
        steps = _log(of_right) - _log(right.value), _log(1 - other.value) - _log(1 - of_other)
        # With an infinite part (nothing wrong, or nothing right, was called) the limit is the finite part's own value.
        if math.isinf(_log(1 - other.value)):
            bounds.append(_predictive_value(right.value, of_other, prior))
        elif math.isinf(_log(right.value)):
            bounds.append(_predictive_value(of_right, other.value, prior))
        else:
            step = math.copysign(math.hypot(*steps), sum(steps))
            bounds.append(_odds_share(_log(right.value) - _log(1 - other.value) + prior + step))
    return Proportion(value, min(value, bounds[0]), max(value, bounds[1]))


def _predictive_value(right: float, other: float, prior: float) -> float:
    parts = _log(right), _log(1 - other)
    return math.nan if parts == (-math.inf, -math.inf) else _odds_share(parts[0] - parts[1] + prior)


def _odds_share(log_odds: float) -> float:
    if math.isnan(log_odds):
        return math.nan
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0


def _log(value: float) -> float:
    return math.log(value) if value != 0 else -math.inf
