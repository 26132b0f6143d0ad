"""A small drawing board for inline SVG: two axes and what is drawn between them.

Colours are left to the page's style sheet through class names, so that one picture serves light and dark; sizes are
chosen for a picture shown at about its own width of 400 units, so that text stays readable on a phone.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Final

from markupsafe import Markup, escape

Pairs = Iterable[tuple[float, float]]
_MARGIN_TOP, _MARGIN_BOTTOM = 12.0, 48.0
_NEAR = 4.0  # units of the picture; letters closer than this hide one another
_DETAIL = 0.6  # units of the picture; a curve of 50,000 points is drawn no finer than this
_SHAPES: Final = (
    ((-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)),
    ((0, -4.8), (4.6, 3.4), (-4.6, 3.4)),
    ((0, -5.2), (5.2, 0), (0, 5.2), (-5.2, 0)),
    ((0, 4.8), (4.6, -3.4), (-4.6, -3.4)),
)  # in units of the picture around a mark's place
_NUM_SHAPES: Final = 1 + len(_SHAPES)  # the circle comes first


@dataclass(frozen=True, slots=True)
class Axis:
    """The range that an axis shows, with its tick values and how they are written."""

    low: float
    high: float
    label: str
    ticks: tuple[float, ...]
    is_log: bool = False
    write: Callable[[float], str] = "{:g}".format
    short: str = ""
    """The label where a point is read; the label itself where empty."""

    def part(self, value: float) -> float:
        """How far along the axis a value lies, from 0 to 1."""
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low)


def share_axis(label: str, *, short: str = "") -> Axis:
    """An axis from 0 to 1."""
    return Axis(0, 1, label, (0, 0.2, 0.4, 0.6, 0.8, 1), write=lambda value: f"{value:.1f}", short=short)


def nice_axis(values: Sequence[float], label: str, *, is_log: bool = False, smallest_step: float = 0) -> Axis:
    """An axis with about five round tick values that holds all of ``values``."""
    low, high = min(values), max(values)
    if is_log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        pad = (high / low) ** 0.06
        low, high = low / pad, high * pad
        decades = [10.0**power for power in range(first, last + 1)]
        marks = [tick for tick in decades if low <= tick <= high]
        if len(marks) < 3:
            marks = [decade * step for decade in decades for step in (1, 2, 5) if low <= decade * step <= high]
        return Axis(low, high, label, tuple(marks), is_log=True)
    if high - low < 1e-12 * max(1.0, abs(high)):
        pad = 0.1 * abs(high) or 0.5
        low, high = low - pad, high + pad
    rough = max(smallest_step, (high - low) / 5)
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(place * step, 12) for place in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], label, ticks)


@dataclass(slots=True)
class Plot:
    """A picture that grows by what is drawn on it; `svg` is its markup. ``label`` is for those who cannot see it."""

    x: Axis
    y: Axis
    label: str
    width: float = 400
    height: float = 370
    note: str = ""
    """What the third figure of a curve's points is, where they have one."""
    left: float = 58
    """Room for the upright axis."""
    right: float = 10
    """Room beside the axes, for the names of lines."""
    _parts: list[Markup] = field(default_factory=list)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a pair of values lies in the picture."""
        across = self.width - self.left - self.right
        down = self.height - _MARGIN_TOP - _MARGIN_BOTTOM
        return self.left + across * self.x.part(x), _MARGIN_TOP + down * (1 - self.y.part(y))

    def line(self, points: Pairs, style: str, *, name: str = "", notes: Sequence[float] | None = None) -> None:
        """A line through the points; with a name the page's script tells their values, and ``notes``, on hover."""
        pairs = list(points)
        placed = [self.place(x, y) for x, y in pairs]
        kept = _kept(placed)
        values = Markup("")
        if name:
            rows = [[*pairs[row], *(() if notes is None else (notes[row],))] for row in kept]
            written = " ".join(",".join(f"{value:.4g}" for value in row if math.isfinite(value)) for row in rows)
            values = Markup(' data-name="{}" data-values="{}"').format(name, written)
        self._parts.append(Markup('<path class="{}" d="{}"{}/>').format(style, _path(placed, kept), values))

    def cursor(self, curve: str, place: int, *, is_upright: bool = False) -> None:
        """A ring, or an upright line, that the page's script moves along a ``curve`` of the data set at ``place``.

        Hidden where there is no script.
        """
        where = f'data-cursor="{curve}" data-set="{place}"'
        bottom, shape = self.height - _MARGIN_BOTTOM, f'<circle class="cursor" {where} r="11"/>'
        if is_upright:
            shape = f'<line class="cursor" {where} y1="{_MARGIN_TOP:g}" y2="{bottom:g}"/>'
        self._parts.append(Markup(shape))  # noqa: S704  # a name of ours and a number

    def area(self, low: Pairs, high: Pairs, style: str) -> None:
        """The area between two curves with the same x values."""
        outline = [self.place(x, y) for x, y in [*low, *reversed(list(high))]]
        self._parts.append(Markup('<path class="{}" d="{}Z"/>').format(style, _path(outline, _kept(outline))))

    def mark(self, x: float, y: float, style: str, *, shape: int, title: str) -> None:
        """A mark whose title shows on hover, in one of five shapes that are told apart without colour."""
        if shape % _NUM_SHAPES == 0:
            self.dot(x, y, style, title=title)
            return
        left, top = self.place(x, y)
        corners = _SHAPES[shape % _NUM_SHAPES - 1]
        outline = "L".join(f"{left + right:.1f} {top + down:.1f}" for right, down in corners)
        self._parts.append(Markup('<path class="{}" d="M{}Z"><title>{}</title></path>').format(style, outline, title))

    def dot(self, x: float, y: float, style: str, *, title: str = "", radius: float = 4) -> None:
        """A dot whose title shows on hover."""
        left, top = self.place(x, y)
        note = Markup("<title>{}</title>").format(title) if title else Markup("")
        self._parts.append(
            Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:g}">{}</circle>').format(
                style, left, top, radius, note
            )
        )

    def badges(self, spots: Sequence[tuple[float, float, str, str]], style: str) -> None:
        """Letters at (x, y, letter, title); those that would hide one another share the first one's badge."""
        shared: list[tuple[tuple[float, float], list[str], list[str]]] = []
        for x, y, letter, title in spots:
            place = self.place(x, y)
            near = next((entry for entry in shared if math.dist(entry[0], place) < _NEAR), None)
            if near is None:
                near = (place, [], [])
                shared.append(near)
            near[1].append(letter)
            near[2].append(title)
        for (left, top), letters, titles in shared:
            width = 9 + 7.5 * len(letters)
            box = Markup(
                '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:g}" height="16.5" rx="8.25"><title>{}</title></rect>'
            )
            self._parts.append(box.format(style, left - width / 2, top - 8.25, width, "; ".join(titles)))
            self._parts.append(_text(left, top + 3.8, "".join(letters), "letter middle"))

    def segment(self, start: tuple[float, float], end: tuple[float, float], style: str) -> None:
        """A straight line between two pairs of values."""
        (left, top), (right, bottom) = self.place(*start), self.place(*end)
        self._parts.append(
            Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
                style, left, top, right, bottom
            )
        )

    def text(self, x: float, y: float, words: str, style: str, *, shift: tuple[float, float] = (0, 0)) -> None:
        """Words at a pair of values, moved by ``shift`` units right and down."""
        left, top = self.place(x, y)
        self._parts.append(_text(left + shift[0], top + shift[1], words, style))

    def svg(self) -> Markup:
        """The picture, without any reference to something outside it."""
        labels = [self.x.short or self.x.label, self.y.short or self.y.label, self.note]
        reads = Markup(' data-reads="{}"').format("|".join(label for label in labels if label))
        frame = (self.left, _MARGIN_TOP, self.width - self.right, self.height - _MARGIN_BOTTOM)
        return Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}" data-frame="{}"{}>{}{}</svg>').format(
            self.width,
            self.height,
            self.label,
            " ".join(f"{edge:g}" for edge in frame),
            reads,
            self._axes(),
            Markup("").join(self._parts),
        )

    def _axes(self) -> Markup:
        parts = []
        bottom, left = self.height - _MARGIN_BOTTOM, self.left
        for tick in self.x.ticks:
            across = self.place(tick, self.y.high)[0]
            parts.append(_grid_line(across, _MARGIN_TOP, across, bottom))
            parts.append(_text(across, bottom + 17, self.x.write(tick), "tick middle"))
        for tick in self.y.ticks:
            top = self.place(self.x.low, tick)[1]
            parts.append(_grid_line(left, top, self.width - self.right, top))
            parts.append(_text(left - 8, top + 4, self.y.write(tick), "tick end"))
        parts.append(_text((left + self.width - self.right) / 2, self.height - 6, self.x.label, "axis middle"))
        turned = Markup('<text class="axis middle" transform="translate(12 {:.1f}) rotate(-90)">{}</text>')
        parts.append(turned.format((_MARGIN_TOP + bottom) / 2, self.y.label))
        return Markup("").join(parts)


def _kept(placed: Sequence[tuple[float, float]]) -> list[int]:
    """The points of a line that are drawn: the corners of a staircase, and elsewhere none finer than can be seen."""
    rows = [next(group)[0] for _, group in groupby(enumerate(placed), key=itemgetter(1))]
    kept = rows[:1]
    for before, row, after in zip(rows, rows[1:], rows[2:], strict=False):
        is_corner = not _is_within_a_step(placed[before], placed[row], placed[after])
        if is_corner and math.dist(placed[kept[-1]], placed[row]) >= _DETAIL:
            kept.append(row)
    return kept + rows[1:][-1:]


def _path(placed: Sequence[tuple[float, float]], kept: Sequence[int]) -> str:
    return "M" + "L".join(f"{placed[row][0]:.1f} {placed[row][1]:.1f}" for row in kept)


def _is_within_a_step(before: tuple[float, float], point: tuple[float, float], after: tuple[float, float]) -> bool:
    """Whether a point of a staircase can go: its neighbours lie to both sides on one level or one upright."""
    return any(
        before[axis] == point[axis] == after[axis]
        and min(before[1 - axis], after[1 - axis]) <= point[1 - axis] <= max(before[1 - axis], after[1 - axis])
        for axis in (0, 1)
    )


def _text(left: float, top: float, words: str, style: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(style, left, top, escape(words))


def _grid_line(left: float, top: float, right: float, bottom: float) -> Markup:
    return Markup('<line class="grid" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
        left, top, right, bottom
    )
