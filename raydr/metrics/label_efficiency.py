"""What labels are worth: AUC by arm and number of labels, over draws of the labels."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import stdtrit

VALIDATION: Final = "validation"
"""The data set of the figures that choices are made by."""
_LEAST_DRAWS: Final = 3  # for an interval; two say next to nothing of their spread


@dataclass(frozen=True, slots=True)
class StudyCell:
    """One trained model of a study on one data set."""

    arm: str
    budget: str
    """As the job file writes it, such as "95" or "all"."""
    num_labels: int
    """Labelled training images that it learnt from."""
    draw: int
    """Which draw of the labels."""
    seed: int
    """Which training on that draw."""
    dataset: str
    """`VALIDATION`, or a test set's name."""
    auc: float
    """NaN where only one class is present."""
    standard_error: float
    """Of the AUC, with patients as its unit; NaN where there is none."""
    low: float
    """Of the AUC's interval over patients."""
    high: float
    num_images: int
    num_patients: int
    num_positive: int
    seconds: float
    """That its training took."""
    difference_error: float = math.nan
    """Standard error over patients of its AUC less that of the reference arm's model of the same budget, draw and seed;
    NaN where that is not known."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Figures of several draws of the labels: their mean and how far they lie apart.

    Where a draw has several trainings, their mean is the draw's figure. The interval is for the mean over all draws
    that could have been made, of labels with first weights and an order of their own, on these images, with this
    pretraining and these validation patients: how other patients would move it is what the AUC's own standard error
    tells.
    """

    mean: float
    lowest: float
    """Of the draws' figures."""
    highest: float
    standard_deviation: float
    """Of the draws' figures; NaN for fewer than two."""
    low: float
    """Of Student's t-interval over draws; NaN for fewer than three."""
    high: float
    level: float
    num_draws: int


@dataclass(frozen=True, slots=True)
class PairedSpread:
    """The differences of an arm's AUC and the reference arm's on the same draws."""

    spread: Spread
    num_same_sign: int
    """Draws whose difference has the sign of the mean; 0 where the mean is 0."""
    standard_error: float
    """Of one pair's difference over patients: mean over the pairs; NaN where that of a pair is not known."""


@dataclass(frozen=True, slots=True)
class LabelEfficiency:
    """An arm with one budget of labels on one data set, over draws of the labels."""

    arm: str
    budget: str
    num_labels: float
    """Mean over draws: a budget is drawn by patient, and patients differ by an image."""
    dataset: str
    auc: Spread
    num_trainings: int
    """Draws times seeds, those that are there."""
    standard_error: float
    """Of one model's AUC over patients: mean over the trainings."""
    num_patients: int
    """Of the data set."""
    difference: PairedSpread | None
    """From the reference arm; None for itself, and where the two share no draw."""


def label_efficiency(
    cells: Sequence[StudyCell], *, reference: str | None = None, level: float = 0.95
) -> tuple[LabelEfficiency, ...]:
    """The table of a study, a row for every data set, arm and budget that has a cell.

    Data sets and arms come in the order of their first cells, budgets by their number of labels.

    Args:
        cells: Those that are there.
        reference: The arm that others are compared with, draw by draw; None for no comparison.
        level: Of the intervals over draws.

    Raises:
        ValueError: A training is there twice.
    """
    groups: dict[tuple[str, str, str], list[StudyCell]] = defaultdict(list)
    for cell in cells:
        groups[cell.dataset, cell.arm, cell.budget].append(cell)
    aucs = {key: _aucs_by_draw(group) for key, group in groups.items()}
    rows = [
        LabelEfficiency(
            arm=arm,
            budget=budget,
            num_labels=_mean([cell.num_labels for cell in group]),
            dataset=dataset,
            auc=_spread(aucs[dataset, arm, budget], level),
            num_trainings=len(group),
            standard_error=_mean([cell.standard_error for cell in group]),
            num_patients=max(cell.num_patients for cell in group),
            difference=None
            if reference is None or arm == reference
            else _difference(group, aucs[dataset, arm, budget], aucs.get((dataset, reference, budget), {}), level),
        )
        for (dataset, arm, budget), group in groups.items()
    ]
    datasets, arms = list(dict.fromkeys(row.dataset for row in rows)), list(dict.fromkeys(row.arm for row in rows))
    rows.sort(key=lambda row: (datasets.index(row.dataset), arms.index(row.arm), row.num_labels))
    return tuple(rows)


def _aucs_by_draw(group: Sequence[StudyCell]) -> dict[int, list[float]]:
    """The AUCs of each draw's trainings, both in order, so that no sum depends on which came first."""
    found: dict[int, dict[int, float]] = defaultdict(dict)
    for cell in sorted(group, key=lambda cell: (cell.draw, cell.seed)):
        if cell.seed in found[cell.draw]:
            name = f"{cell.arm}/{cell.budget}/draw-{cell.draw}/seed-{cell.seed}"
            raise ValueError(f"{name} is there twice on {cell.dataset}")
        found[cell.draw][cell.seed] = cell.auc
    return {draw: list(by_seed.values()) for draw, by_seed in found.items()}


def _spread(by_draw: Mapping[int, Sequence[float]], level: float) -> Spread:
    figures = np.array([np.mean(values) for values in by_draw.values()])
    mean, deviation, half = float(figures.mean()), math.nan, math.nan
    if len(figures) > 1:
        deviation = float(figures.std(ddof=1))
    if len(figures) >= _LEAST_DRAWS:
        half = float(stdtrit(len(figures) - 1, (1 + level) / 2)) * deviation / math.sqrt(len(figures))
    return Spread(
        mean=mean,
        lowest=float(figures.min()),
        highest=float(figures.max()),
        standard_deviation=deviation,
        low=mean - half,
        high=mean + half,
        level=level,
        num_draws=len(figures),
    )


def _difference(
    group: Sequence[StudyCell],
    by_draw: Mapping[int, Sequence[float]],
    of_reference: Mapping[int, Sequence[float]],
    level: float,
) -> PairedSpread | None:
    """The differences on the draws that both arms have."""
    found = {
        draw: [float(np.mean(values)) - float(np.mean(of_reference[draw]))]
        for draw, values in by_draw.items()
        if draw in of_reference
    }
    if not found:
        return None
    spread = _spread(found, level)
    return PairedSpread(
        spread,
        num_same_sign=sum(value * spread.mean > 0 for (value,) in found.values()),
        standard_error=_mean([cell.difference_error for cell in group if cell.draw in found]),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
