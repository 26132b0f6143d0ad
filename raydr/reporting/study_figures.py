"""The figures of a study: AUC, and what an arm has gained on the reference arm, against the number of labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from markupsafe import Markup

from raydr.metrics.label_efficiency import Spread
from raydr.reporting.plot import Axis, Plot, nice_axis
from raydr.reporting.study_table import Budget, StudyTable
from raydr.reporting.wording import counted

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


def auc_figure(table: StudyTable, reference: str | None) -> Markup | None:
    """Mean AUC of every arm against its number of labels, with a band from the lowest to the highest draw.

    None where no arm has a figure.
    """
    lines = [
        _Line(arm, series(table.arms, arm, reference), place, [(budget, row.auc) for budget, row in table.of_arm(arm)])
        for place, arm in enumerate(table.arms)
    ]
    return _figure(table, [line for line in lines if line.points], "AUC", f"AUC by number of labels on {table.dataset}")


def gain_figure(table: StudyTable, reference: str | None) -> Markup | None:
    """Mean difference of every arm's AUC and the reference arm's on the same draws, drawn as `auc_figure` is.

    None where there is nothing to compare.
    """
    lines = [
        _Line(
            arm,
            series(table.arms, arm, reference),
            place,
            [(budget, row.difference.spread) for budget, row in table.of_arm(arm) if row.difference],
        )
        for place, arm in enumerate(table.arms)
    ]
    label = f"AUC less that of {reference}"
    return _figure(
        table,
        [line for line in lines if line.points],
        label if len(label) < 46 else "AUC less the reference arm's",
        f"{label} on the same draws, by number of labels on {table.dataset}",
        is_difference=True,
    )


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
    count = len(values)
    gap = min(gap, (high - low) / max(1, count - 1))
    order = sorted(range(count), key=lambda place: values[place])
    pools: list[tuple[float, int]] = []  # mean and size
    for rank, place in enumerate(order):
        mean, size = values[place] - gap * rank, 1
        while pools and pools[-1][0] > mean:
            other, others = pools.pop()
            mean, size = (mean * size + other * others) / (size + others), size + others
        pools.append((mean, size))
    last = high - gap * (count - 1)
    level = [min(max(mean, low), max(low, last)) for mean, size in pools for _ in range(size)]
    found = [0.0] * count
    for rank, place in enumerate(order):
        found[place] = level[rank] + gap * rank
    return found


def _figure(
    table: StudyTable, lines: Sequence[_Line], label: str, description: str, *, is_difference: bool = False
) -> Markup | None:
    if not lines:
        return None
    bounds = [bound for line in lines for _, spread in line.points for bound in (spread.lowest, spread.highest)]
    vertical = nice_axis([*bounds, *([0.0] if is_difference else [])], label)
    if is_difference:
        vertical = Axis(
            vertical.low, vertical.high, label, vertical.ticks, write=lambda value: f"{value:+g}" if value else "0"
        )
    room = 22 + _LETTER * max(len(_short(line.arm)) for line in lines)
    plot = Plot(_label_axis(table.budgets, 400 - 58 - room), vertical, description, right=room)
    if is_difference:
        plot.segment((plot.x.low, 0), (plot.x.high, 0), "zero")
    for line in lines:
        _band(plot, line)
    _names(plot, lines)
    for line in reversed(lines):
        plot.line([(budget.num_labels, spread.mean) for budget, spread in line.points], f"curve {line.style}")
    for line in reversed(lines):
        _marks(plot, line, is_difference=is_difference)
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
        write=lambda value: f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}") if value in written else "",
    )


def _band(plot: Plot, line: _Line) -> None:
    """From the lowest to the highest, over the stretches of budgets that have more than one training."""
    for has_spread, group in groupby(line.points, key=lambda point: point[1].lowest < point[1].highest):
        stretch = [(budget.num_labels, spread) for budget, spread in group]
        if has_spread and len(stretch) > 1:
            lows, highs = [(x, spread.lowest) for x, spread in stretch], [(x, spread.highest) for x, spread in stretch]
            plot.area(lows, highs, f"band {line.style}")


def _marks(plot: Plot, line: _Line, *, is_difference: bool) -> None:
    """A mark a budget, hollow where it is of a single draw."""
    form = "{:+.3f}" if is_difference else "{:.3f}"
    for budget, spread in line.points:
        kind = "whole" if spread.num_draws > 1 else "single"
        mean, *ends = (form.format(value) for value in (spread.mean, spread.lowest, spread.highest))
        between = f", {ends[0]} to {ends[1]}" if spread.lowest < spread.highest else ""
        title = f"{line.arm}, {budget.words} labels: {mean}{between} ({counted(spread.num_draws, 'draw')})"
        plot.mark(budget.num_labels, spread.mean, f"dose {kind} {line.style}", shape=line.shape, title=title)


def _names(plot: Plot, lines: Sequence[_Line]) -> None:
    """Every arm's name beside the axes, with a thread to its last mark."""
    unit = (plot.y.high - plot.y.low) / (plot.place(plot.x.low, plot.y.low)[1] - plot.place(plot.x.low, plot.y.high)[1])
    ends = [line.points[-1][1].mean for line in lines]
    for line, end, place in zip(
        lines, ends, spread_apart(ends, _LINE * unit, low=plot.y.low, high=plot.y.high), strict=True
    ):
        last = line.points[-1][0].num_labels
        plot.segment((last, end), (plot.x.high, place), f"tether {line.style}")
        plot.text(plot.x.high, place, _short(line.arm), f"name {line.style}", shift=(6, 4))


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
