"""The figures of a comparison: both ROC curves over each other, and a forest plot of the differences."""

import math
from collections.abc import Sequence
from typing import Final, Protocol

from markupsafe import Markup

from raydr.metrics.comparison import AucDifference
from raydr.metrics.roc import RocCurve
from raydr.reporting.figures import series
from raydr.reporting.plot import Axis, Plot, nice_axis, share_axis

_WIDTH: Final = 340.0
_SIDE: Final = 14.0
_ROW: Final = 46.0
_MAX_NAME: Final = 22  # letters that fit beside the figures


class Compared(Protocol):
    """Both models on one data set."""

    @property
    def name(self) -> str:
        """Of the data set."""

    @property
    def difference(self) -> AucDifference:
        """The first model's AUC less the second one's."""

    @property
    def curves(self) -> tuple[RocCurve, RocCurve] | None:
        """Of the first and of the second model; None where only one class is present."""


def roc_pair(compared: Compared) -> Markup | None:
    """Both models' ROC curves on a data set; None where they are not defined."""
    if compared.curves is None:
        return None
    plot = Plot(
        share_axis("False positive rate (1 − specificity)"),
        share_axis("Sensitivity"),
        f"ROC curves of A and B on {compared.name}",
    )
    plot.segment((0, 0), (1, 1), "chance")
    for place, curve in reversed(list(enumerate(compared.curves))):
        points = zip(curve.false_positive_rate.tolist(), curve.sensitivity.tolist(), strict=True)
        plot.line(points, f"curve {series(place)}")
    return plot.svg()


def forest(datasets: Sequence[Compared], words: Sequence[str]) -> Markup | None:
    """The difference of every data set with its interval, one below the other; None where none is defined.

    Args:
        datasets: The rows.
        words: The figures of each as they are quoted, to stand at the right.
    """
    found = [entry.difference for entry in datasets if math.isfinite(entry.difference.value)]
    bounds = [bound for each in found for bound in (each.value, each.low, each.high) if math.isfinite(bound)]
    if not bounds:
        return None
    low, high = min(0.0, *bounds), max(0.0, *bounds)
    room = (high - low) / 6  # so that there is a place on either side of zero
    axis = nice_axis([low - room, high + room], "")
    height = _ROW * len(datasets) + 42
    parts = [_ticks(axis, height)]
    for row, (entry, text) in enumerate(zip(datasets, words, strict=True)):
        parts.append(_row(axis, _ROW * row + 14, entry, text))
    label = "; ".join(f"{entry.name}: {text}" for entry, text in zip(datasets, words, strict=True))
    return Markup('<svg class="forest" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, height, f"Difference of AUC, A less B. {label}", Markup("").join(parts)
    )


def _row(axis: Axis, top: float, entry: Compared, text: str) -> Markup:
    difference, middle, zero = entry.difference, top + 17, _across(axis, 0)
    name = entry.name if len(entry.name) <= _MAX_NAME else f"{entry.name[: _MAX_NAME - 1]}…"
    words = Markup(
        '<text class="strong" x="{0:g}" y="{1:g}">{2}</text><text class="end" x="{3:g}" y="{1:g}">{4}</text>'
    )
    drawn = words.format(_SIDE, top, name, _WIDTH - _SIDE, text)
    stem = Markup('<line class="stem" x1="{0:.1f}" y1="{1:g}" x2="{0:.1f}" y2="{2:g}"/>')
    drawn += stem.format(zero, middle - 9, middle + 9)
    if math.isfinite(difference.low):
        line = Markup('<line class="whisker model-0" x1="{0:.1f}" y1="{1:g}" x2="{2:.1f}" y2="{1:g}"/>')
        drawn += line.format(_across(axis, difference.low), middle, _across(axis, difference.high))
    if math.isfinite(difference.value):
        dot = Markup('<circle class="mark model-0" cx="{:.1f}" cy="{:g}" r="5"><title>{}</title></circle>')
        drawn += dot.format(_across(axis, difference.value), middle, f"{entry.name}: {text}")
    return drawn


def _ticks(axis: Axis, height: float) -> Markup:
    """The scale."""
    parts = []
    bottom = height - 34
    for tick in axis.ticks:
        place = _across(axis, tick)
        line = Markup('<line class="grid" x1="{0:.1f}" y1="0" x2="{0:.1f}" y2="{1:g}"/>')
        parts.append(line.format(place, bottom))
        parts.append(
            Markup('<text class="tick middle" x="{:.1f}" y="{:g}">{}</text>').format(
                place, bottom + 14, f"{tick:+g}" if tick else "0"
            )
        )
    ends = Markup('<text class="tick" x="{0:g}" y="{1:g}">← B ranks better</text>')
    ends += Markup('<text class="tick end" x="{2:g}" y="{1:g}">A ranks better →</text>')
    parts.append(ends.format(_SIDE, height - 4, _WIDTH - _SIDE))
    return Markup("").join(parts)


def _across(axis: Axis, value: float) -> float:
    return _SIDE + (_WIDTH - 2 * _SIDE) * axis.part(value)
