"""The figures of picture quality: how each of them is spread over a dataset's photographs."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from markupsafe import Markup
from numpy.typing import NDArray

from raydr.metrics.roc import Floats
from raydr.reporting.plot import Axis, Plot, nice_axis
from raydr.reporting.wording import count

_NUM_BINS: Final = 32
_WIDE: Final = 6.0  # from lowest to highest, where a logarithmic axis shows more
_TAIL: Final = 0.002  # of the photographs at either end, drawn in the outermost bar: a few would else squeeze the rest


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of picture quality: its column, its name and what it says."""

    name: str
    title: str
    meaning: str
    is_share: bool = False


DIAMETER: Final = "disc_diameter_px"
MEASURES: Final = (
    Measure("focus", "Focus", "Contrast of the finest details over that of details twice as wide. Higher is sharper."),
    Measure("blur", "Blur", "How little a further blur would change: 0 is sharp, 1 is without any detail."),
    Measure("brightness", "Brightness", "Mean over the retina, from 0 (black) to 1 (white)."),
    Measure("overexposed", "Overexposed", "Share of the retina that is nearly white.", is_share=True),
    Measure("underexposed", "Underexposed", "Share of the retina that is nearly black.", is_share=True),
    Measure("disc_fraction", "Retina in the picture", "Share of the picture that the disc covers.", is_share=True),
    Measure(DIAMETER, "Retina's diameter", "In pixels of the original."),
)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over all photographs that have it."""

    measure: Measure
    lowest: float
    low: float
    """5 % are below."""
    median: float
    high: float
    """5 % are above."""
    highest: float
    figure: Markup


def spreads(quality: pa.Table, *, side_px: int) -> list[Spread]:
    """Every figure of the quality table, less those that no photograph has.

    ``side_px`` is the shards' side, marked where the retina's diameter is shown.
    """
    is_bad = np.array([value is False for value in quality["gradable"].to_pylist()], dtype=np.bool_)
    found = []
    for measure in MEASURES:
        values = values_of(quality, measure.name)
        is_known = np.isfinite(values)
        if is_known.any():
            mark = float(side_px) if measure.name == DIAMETER else None
            known = values[is_known]
            lowest, low, median, high, highest = np.quantile(known, (0, 0.05, 0.5, 0.95, 1)).tolist()
            figure = histogram(known, is_bad[is_known], measure, mark=mark)
            found.append(Spread(measure, lowest, low, median, high, highest, figure))
    return found


def values_of(quality: pa.Table, name: str) -> Floats:
    """A figure of every row, NaN where it has none; the retina's is NaN where no disc was found."""
    if name != DIAMETER:
        return _floats(quality[name])
    radius, fraction = _floats(quality["disc_radius_px"]), _floats(quality["disc_fraction"])
    return np.where(fraction > 0, 2 * radius, np.nan)


def histogram(values: Floats, is_bad: NDArray[np.bool_], measure: Measure, *, mark: float | None = None) -> Markup:
    """Photographs by a figure, those estimated ungradable on top in another colour, with a line at ``mark``."""
    low, high = np.quantile(values, (_TAIL, 1 - _TAIL)).tolist()
    across = _axis_across(low, high, measure)
    edges = (np.geomspace if across.is_log else np.linspace)(across.low, across.high, _NUM_BINS + 1)
    inside = np.clip(values, across.low, across.high)
    good, bad = (np.histogram(inside[chosen], edges)[0] for chosen in (~is_bad, is_bad))
    up = nice_axis([0, max(1, int((good + bad).max()))], "Photographs", smallest_step=1)
    plot = Plot(across, up, f"Photographs by {measure.title.lower()}", width=310, height=215)
    for start, stop, num_good, num_bad in zip(edges, edges[1:], good.tolist(), bad.tolist(), strict=False):
        for base, top, kind in ((0, num_good, "gradable"), (num_good, num_good + num_bad, "ungradable")):
            if top > base:
                gap = 0.08 * (stop - start)
                sides = (float(start + gap), float(stop - gap))
                plot.area([(x, base) for x in sides], [(x, top) for x in sides], f"bar {kind}")
    if mark is not None and across.low <= mark <= across.high:
        plot.segment((mark, 0), (mark, up.high), "threshold")
        plot.text(mark, up.high, f"shards: {count(round(mark))} px", "tick", shift=(5, 10))
    return plot.svg()


def _axis_across(low: float, high: float, measure: Measure) -> Axis:
    if measure.is_share:
        axis = nice_axis([0, min(1.0, max(high, 0.05))], "Share")
        return Axis(axis.low, axis.high, measure.title, axis.ticks, write=lambda value: f"{100 * value:g} %")
    # Pictures of several cameras differ in size by more than a linear axis can show.
    return nice_axis([low, high], measure.title, is_log=measure.name == DIAMETER and high >= _WIDE * low > 0)


def _floats(column: Any) -> Floats:
    return np.asarray(column.to_numpy(), dtype=np.float64)
