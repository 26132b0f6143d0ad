"""The figures of a study: AUC, and what an arm has gained over the reference arm, against the number of labels."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from markupsafe import Markup

from raydr.metrics.label_efficiency import Spread
from raydr.reporting.plot import Axis, Plot, nice_axis
from raydr.reporting.study_table import Budget, StudyTable, signed
from raydr.reporting.wording import count, counted, number

_WIDTH: Final = 400.0
_LEFT: Final = 52.0
_LEFT_OF_SIGNS: Final = 64.0
_NUM_COLOURS: Final = 7  # of the style sheet
_LETTER: Final = 6.3  # units of the picture; about what a letter of a name takes
_LONGEST_NAME: Final = 16  # letters
_LINE: Final = 14.0  # units of the picture between two names
_TICK: Final = 30.0  # units of the picture that a number of labels takes


@dataclass(frozen=True, slots=True)
class _Line:
    """What is drawn of an arm."""

    arm: str
    style: str
    shape: int
    points: Sequence[tuple[Budget, Spread]]


def auc_figure(table: StudyTable, tables: Sequence[StudyTable], reference: str | None) -> Markup | None:
    """Mean AUC of every arm against its number of labels, with a band from the lowest to the highest draw.

    ``tables`` are those of all data sets, which share their axes. None where no arm has a figure.
    """
    every = [_auc_lines(each, reference) for each in tables]
    vertical = nice_axis([0.5, *_bounds(every)], "AUC")
    description = f"AUC by number of labels on {table.dataset}"
    return _figure(table, _auc_lines(table, reference), vertical, description)


def gain_figure(table: StudyTable, tables: Sequence[StudyTable], reference: str | None) -> Markup | None:
    """Mean difference of every arm's AUC and the reference arm's on the same draws, drawn as `auc_figure` is.

    None where there is nothing to compare.
    """
    every = [_gain_lines(each, reference) for each in tables]
    label = f"AUC less that of {_short(reference or '')}"
    vertical = dataclasses.replace(nice_axis([0.0, *_bounds(every)], label), write=_signed_tick)
    description = f"AUC less that of {reference} on the same draws, by number of labels on {table.dataset}"
    return _figure(table, _gain_lines(table, reference), vertical, description, less=reference)


def _auc_lines(table: StudyTable, reference: str | None) -> list[_Line]:
    return _lines(table, reference, {arm: [(x, row.auc) for x, row in table.of_arm(arm)] for arm in table.arms})


def _gain_lines(table: StudyTable, reference: str | None) -> list[_Line]:
    points = {arm: [(x, row.difference.spread) for x, row in table.of_arm(arm) if row.difference] for arm in table.arms}
    return _lines(table, reference, points)


def _lines(
    table: StudyTable, reference: str | None, points: Mapping[str, Sequence[tuple[Budget, Spread]]]
) -> list[_Line]:
    return [
        _Line(arm, series(table.arms, arm, reference), place, points[arm])
        for place, arm in enumerate(table.arms)
        if points[arm]
    ]


def _bounds(figures: Sequence[Sequence[_Line]]) -> list[float]:
    spreads = [spread for lines in figures for line in lines for _, spread in line.points]
    return [bound for spread in spreads for bound in (spread.lowest, spread.highest)]


def series(arms: Sequence[str], arm: str, reference: str | None) -> str:
    """The style of an arm: the reference arm has its own, the others a colour each until they begin again."""
    if arm == reference:
        return "arm-reference"
    return f"arm-{[name for name in arms if name != reference].index(arm) % _NUM_COLOURS}"


def spread_apart(values: Sequence[float], gap: float, *, low: float, high: float) -> list[float]:
    """The places nearest to ``values`` (least squares) that keep their order and ``gap``, between two bounds.

    Where there is not room for all of them the gap shrinks. By pooling neighbours that violate it (isotonic
    regression, doi:10.1214/aoms/1177728423), which stays the nearest when it is cut at the bounds.
    """
    total = len(values)
    gap = min(gap, (high - low) / max(1, total - 1))
    order = sorted(range(total), key=lambda place: values[place])
    pools: list[tuple[float, int]] = []  # mean and size
    for rank, place in enumerate(order):
        mean, size = values[place] - gap * rank, 1
        while pools and pools[-1][0] > mean:
            other, others = pools.pop()
            mean, size = (mean * size + other * others) / (size + others), size + others
        pools.append((mean, size))
    last = high - gap * (total - 1)
    level = [min(max(mean, low), max(low, last)) for mean, size in pools for _ in range(size)]
    found = [0.0] * total
    for rank, place in enumerate(order):
        found[place] = level[rank] + gap * rank
    return found


def _figure(
    table: StudyTable, lines: Sequence[_Line], vertical: Axis, description: str, *, less: str | None = None
) -> Markup | None:
    if not lines:
        return None
    ends = [(line.arm, line.style, line.points[-1][0].num_labels, line.points[-1][1].mean) for line in lines]
    left = _LEFT if less is None else _LEFT_OF_SIGNS
    room = 24 + _LETTER * max(len(_short(name)) for name in (less or "", *(line.arm for line in lines)))
    horizontal = _label_axis(table.budgets, _WIDTH - left - room)
    plot = Plot(horizontal, vertical, description, width=_WIDTH, left=left, right=room)
    if less is not None:
        plot.segment((horizontal.low, 0), (horizontal.high, 0), "zero")
        ends.append((less, "arm-reference", horizontal.high, 0.0))
    for line in lines:
        _band(plot, line)
    _names(plot, ends)
    for line in reversed(lines):
        plot.line([(budget.num_labels, spread.mean) for budget, spread in line.points], f"curve {line.style}")
    for line in reversed(lines):
        _marks(plot, line, write=number if less is None else signed)
    return plot.svg()


def _label_axis(budgets: Sequence[Budget], width: float) -> Axis:
    """A logarithmic axis with a tick at every budget; numbers that would run into the one before are left out."""
    labels = [budget.num_labels for budget in budgets]
    low, high = labels[0] / 1.25, labels[-1] * 1.3
    bare = Axis(low, high, "Labelled images (log scale)", tuple(labels), is_log=True)
    written: list[float] = []
    for value in reversed(labels):
        if not written or width * (bare.part(written[-1]) - bare.part(value)) >= _TICK:
            written.append(value)
    return Axis(
        low,
        high,
        bare.label,
        bare.ticks,
        is_log=True,
        write=lambda value: count(round(value)) if value in written else "",
    )


def _signed_tick(value: float) -> str:
    return f"{value:+g}".replace("-", "\N{MINUS SIGN}") if value else "0"


def _band(plot: Plot, line: _Line) -> None:
    """From the lowest to the highest, over the stretches of budgets that have more than one training."""
    for has_spread, group in groupby(line.points, key=lambda point: point[1].lowest < point[1].highest):
        stretch = [(budget.num_labels, spread) for budget, spread in group]
        lows, highs = [(x, spread.lowest) for x, spread in stretch], [(x, spread.highest) for x, spread in stretch]
        if has_spread and len(stretch) > 1:
            plot.area(lows, highs, f"band {line.style}")
        elif has_spread:  # a band of no width
            plot.segment(lows[0], highs[0], f"whisker {line.style}")


def _marks(plot: Plot, line: _Line, *, write: Callable[[float], str]) -> None:
    """A mark a budget, hollow where it is of a single draw."""
    for budget, spread in line.points:
        kind = "whole" if spread.num_draws > 1 else "single"
        mean, *ends = (write(value) for value in (spread.mean, spread.lowest, spread.highest))
        between = f", {ends[0]} to {ends[1]}" if spread.lowest < spread.highest else ""
        title = f"{line.arm}, {budget.words} labels: {mean}{between} ({counted(spread.num_draws, 'draw')})"
        plot.mark(budget.num_labels, spread.mean, f"dose {kind} {line.style}", shape=line.shape, title=title)


def _names(plot: Plot, ends: Sequence[tuple[str, str, float, float]]) -> None:
    """Names (and style, and where their line ends) beside the axes, each with a thread to its line."""
    unit = (plot.y.high - plot.y.low) / (plot.place(plot.x.low, plot.y.low)[1] - plot.place(plot.x.low, plot.y.high)[1])
    places = spread_apart([y for *_, y in ends], _LINE * unit, low=plot.y.low, high=plot.y.high)
    beside = plot.x.high * (plot.x.high / plot.x.low) ** 0.03
    for (name, style, x, y), place in zip(ends, places, strict=True):
        plot.segment((x, y), (beside, place), f"tether {style}")
        plot.text(beside, place, _short(name), f"name {style}", shift=(3, 4))


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
