"""A forest plot as rows of a table: what a data set's AUC is level by level and group by group."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raydr.metrics.bootstrap import AucInterval
from raydr.metrics.evaluation import DatasetEvaluation
from raydr.metrics.operating import PointFigures
from raydr.reporting.wording import is_defined

_LEVEL_NAMES = {"image": "By image", "eye": "By eye", "exam": "By exam", "patient": "By patient"}


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its name and figures, and what of it the axis shows."""

    factor: str
    """What the group is a group of; empty for the whole set and its levels."""
    name: str
    auc: AucInterval
    point: PointFigures | None
    """What the main threshold does there; None for a level."""
    unit: str = "image"
    """What is judged."""
    num_judged: int | None = None
    """How many of them; None: as many as there are images."""

    @property
    def num_units(self) -> int:
        """How many were judged."""
        return self.auc.num_images if self.num_judged is None else self.num_judged


@dataclass(frozen=True, slots=True)
class Forest:
    """The rows of a data set, the whole of it first, and the axis that they share."""

    rows: Sequence[Row]
    low: float
    """Where the axis starts; it ends at 1."""

    @property
    def ticks(self) -> list[float]:
        """Tenths of the axis: all, or every second one where there are many."""
        first = round(10 * self.low)
        return [tenth / 10 for tenth in range(first, 11) if (10 - tenth) % (2 if first < 5 else 1) == 0]

    def part(self, value: float) -> str:
        """How far along the axis a value is, for the style sheet."""
        return f"{min(1.0, max(0.0, (value - self.low) / (1 - self.low))):.4f}"


def forest(evaluation: DatasetEvaluation) -> Forest | None:
    """The rows of a data set; None where there is nothing but the whole."""
    levels = [
        Row("", _LEVEL_NAMES[level], found.auc, None, level, found.num_units)
        for level, found in evaluation.levels.items()
        if level != evaluation.unit
    ]
    groups = [Row(found.factor, found.group, found.auc, found.point) for found in evaluation.subgroups]
    if not levels and not groups:
        return None
    whole = next((figures for name, figures in evaluation.points if name == evaluation.main_point), None)
    num_units = evaluation.levels[evaluation.unit].num_units
    rows = [Row("", f"All {evaluation.unit}s", evaluation.auc, whole, evaluation.unit, num_units), *levels, *groups]
    lows = [row.auc.low for row in rows if is_defined(row.auc.low)]
    return Forest(rows, min(0.5, math.floor(10 * min(lows, default=0.5)) / 10))
