"""The figures of a study: marks, bands and names lie where the figures say, and what is missing leaves a gap."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize
from studies import ARMS, BUDGETS, study_cells

from raydr.metrics.label_efficiency import StudyCell, label_efficiency
from raydr.reporting.study_figures import auc_figure, gain_figure, series, spread_apart
from raydr.reporting.study_table import study_tables

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
REFERENCE = "imagenet"


def cell(arm, labels, draw, auc, *, budget=None, dataset="clinic"):
    return StudyCell(arm, budget or str(labels), labels, draw, 0, dataset, auc, 0.02, 0, 1, 9, 9, 4, 1)


def drawn(cells, *, figure=auc_figure, reference=REFERENCE, place=0):
    tables = study_tables(label_efficiency(cells, reference=reference))
    return figure(tables[place], tables, reference), tables[place]


class Scales:
    """Where values lie, read off the ticks as a reader does."""

    def __init__(self, svg):
        words = re.findall(r'<text class="tick (middle|end)" x="([\d.]+)" y="([\d.]+)">([^<]*)</text>', svg)
        plain = str.maketrans({"\N{MINUS SIGN}": "-", "\N{NARROW NO-BREAK SPACE}": ""})
        across = [
            (math.log(float(text.translate(plain))), float(x))
            for kind, x, _, text in words
            if kind == "middle" and text
        ]
        up = [(float(text.translate(plain)), float(y) - 4) for kind, _, y, text in words if kind == "end"]
        self.x, self.y = (np.polyfit(*zip(*pairs, strict=True), 1) for pairs in (across, up))

    def __call__(self, labels, value):
        return np.polyval(self.x, math.log(labels)), np.polyval(self.y, value)


def corners(path):
    return [tuple(map(float, pair.split())) for pair in path.removesuffix("Z").removeprefix("M").split("L")]


def marks(svg, style):
    """Centres of an arm's marks and whether they are hollow, from left to right."""
    found = [
        ((float(x), float(y)), kind == "single")
        for kind, x, y in re.findall(rf'class="dose (\w+) {style}" cx="([\d.]+)" cy="([\d.]+)"', svg)
    ]
    for kind, path in re.findall(rf'class="dose (\w+) {style}" d="([^"]+)"', svg):
        xs, ys = zip(*corners(path), strict=True)
        found.append((((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2), kind == "single"))
    return sorted(found)


def paths(svg, kind, style):
    return [corners(path) for path in re.findall(rf'class="{kind} {style}" d="([^"]+)"', svg)]


def names(svg):
    """Where every name stands, by itself."""
    return {
        text: (float(x), float(y) - 4)
        for x, y, text in re.findall(r'<text class="name [^"]+" x="([\d.]+)" y="([\d.]+)">([^<]*)</text>', svg)
    }


@pytest.mark.parametrize("place", range(3))
def test_every_mark_and_line_lies_where_ticks_and_table_say(place):
    svg, table = drawn(study_cells(), place=place)
    scales = Scales(svg)
    for arm in table.arms:
        style = series(table.arms, arm, REFERENCE)
        wanted = [scales(labels, table.figures[arm, budget].auc.mean) for budget, labels in BUDGETS.items()]
        found = marks(svg, style)
        np.testing.assert_allclose([centre for centre, _ in found], wanted, atol=0.8)
        assert [is_hollow for _, is_hollow in found] == [False] * 4 + [True]  # all labels are one draw
        (line,) = paths(svg, "curve", style)
        np.testing.assert_allclose(line, wanted, atol=0.2)


def test_a_band_reaches_from_the_lowest_to_the_highest_draw_and_ends_where_there_is_one_draw():
    svg, table = drawn(study_cells())
    scales = Scales(svg)
    few = [(budget, labels) for budget, labels in BUDGETS.items() if budget != "all"]
    (found,) = paths(svg, "band", series(table.arms, "paper", REFERENCE))
    lows = [scales(labels, table.figures["paper", budget].auc.lowest) for budget, labels in few]
    highs = [scales(labels, table.figures["paper", budget].auc.highest) for budget, labels in few]
    np.testing.assert_allclose(found, [*lows, *reversed(highs)], atol=0.2)


def test_gains_are_drawn_on_their_own_scale_around_the_reference_arms_line():
    svg, table = drawn(study_cells(), figure=gain_figure)
    scales = Scales(svg)
    assert marks(svg, "arm-reference") == []
    for arm in set(table.arms) - {REFERENCE}:
        wanted = [scales(n, table.figures[arm, budget].difference.spread.mean) for budget, n in BUDGETS.items()]
        found = [centre for centre, _ in marks(svg, series(table.arms, arm, REFERENCE))]
        np.testing.assert_allclose(found, wanted, atol=0.8)
    (zero,) = re.findall(r'class="zero" x1="[\d.]+" y1="([\d.]+)"', svg)
    assert float(zero) == pytest.approx(scales(95, 0.0)[1], abs=0.1)
    assert REFERENCE in names(svg)


def test_data_sets_share_their_scales():
    for figure in (auc_figure, gain_figure):
        scales = [Scales(drawn(study_cells(), figure=figure, place=place)[0]) for place in range(3)]
        for other in scales[1:]:
            np.testing.assert_allclose(other.y, scales[0].y)
            np.testing.assert_allclose(other.x, scales[0].x)


def test_what_was_not_trained_has_no_mark_and_no_band_crosses_a_single_draw():
    # Of 50, 100 and 400 labels two draws, of 200 one, of 800 none.
    draws = [(labels, draw) for labels in (50, 100, 200, 400) for draw in (0, 1) if (labels, draw) != (200, 1)]
    cells = [cell("a", labels, draw, 0.6 + labels / 5000 + draw / 50) for labels, draw in draws]
    svg, _ = drawn([*cells, cell("b", 800, 0, 0.9)], reference=None)
    scales = Scales(svg)
    assert len(marks(svg, "arm-0")) == 4
    (band,) = paths(svg, "band", "arm-0")
    assert max(x for x, _ in band) == pytest.approx(scales(100, 0.6)[0], abs=0.2)
    (whisker,) = re.findall(r'class="whisker arm-0" x1="(.+?)" y1="(.+?)" x2="(.+?)" y2="(.+?)"', svg)
    wanted = [*scales(400, 0.68), *scales(400, 0.70)]
    assert [float(end) for end in whisker] == pytest.approx(wanted, abs=0.2)


def test_an_undefined_area_is_not_drawn():
    cells = [cell("a", 50, 0, 0.7), cell("a", 100, 0, math.nan), cell("a", 200, 0, 0.8), cell("b", 50, 0, math.nan)]
    svg, _ = drawn(cells, reference=None)
    assert "nan" not in svg
    assert len(re.findall('class="dose', svg)) == 2
    assert list(names(svg)) == ["a"]


def test_names_stand_beside_the_last_marks_in_their_order_and_never_on_one_another():
    close = {f"arm {place}": (0.6 + 0.0005 * place, 0.1) for place in range(12)}
    svg, _ = drawn(study_cells(close), reference=None)
    found = names(svg)
    heights = [y for _, y in sorted(found.values(), key=lambda spot: spot[1])]
    assert len(found) == 12
    assert min(below - above for above, below in pairwise(heights)) >= 13.9
    starts = re.findall(r'class="tether [^"]+" x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"', svg)
    ends = {float(y2): float(y1) for _, y1, _, y2 in starts}
    assert [ends[y] for y in sorted(ends)] == sorted(ends.values())
    assert sorted(ends) == pytest.approx(heights, abs=0.2)
    frame = float(re.search(r'data-frame="\S+ \S+ (\S+) ', svg)[1])
    assert all(frame < x < 400 for x, _ in found.values())


def test_the_nearest_places_that_are_apart_are_those_of_a_general_solver():
    generator = np.random.default_rng(0)
    for count in (2, 3, 6):
        values = generator.uniform(0, 10, count)
        found = spread_apart(values.tolist(), 1.5, low=0.0, high=10.0)
        order = np.argsort(values)
        apart = [{"type": "ineq", "fun": lambda x, a=a, b=b: x[b] - x[a] - 1.5} for a, b in pairwise(order.tolist())]
        start = np.empty(count)
        start[order] = np.linspace(0, 10, count)
        best = minimize(
            lambda x, values=values: ((x - values) ** 2).sum(), start, bounds=[(0, 10)] * count, constraints=apart
        )
        np.testing.assert_allclose(found, best.x, atol=1e-3)


def test_places_that_are_apart_already_stay_and_a_pair_moves_to_both_sides():
    assert spread_apart([5.0, 1.0, 9.0], 2.0, low=0.0, high=10.0) == [5.0, 1.0, 9.0]
    assert spread_apart([5.0, 5.0], 2.0, low=0.0, high=10.0) == [4.0, 6.0]
    assert spread_apart([9.9, 9.9], 2.0, low=0.0, high=10.0) == [8.0, 10.0]
    assert spread_apart([], 2.0, low=0.0, high=10.0) == []


def test_names_that_have_no_room_share_what_there_is():
    assert spread_apart([5.0] * 5, 4.0, low=0.0, high=8.0) == pytest.approx([0.0, 2.0, 4.0, 6.0, 8.0])


def test_arms_are_told_apart_by_colour_and_shape():
    svg, table = drawn(study_cells())
    styles = [series(table.arms, arm, REFERENCE) for arm in table.arms]
    assert len(set(styles)) == len(ARMS)
    many = [f"arm {place}" for place in range(20)]
    looks = {(series(many, arm, None), place % 5) for place, arm in enumerate(many)}
    assert len(looks) == len(many)
    assert len(re.findall("<circle", svg)) == 2 * 5  # the first and the sixth of seven arms


def test_one_number_of_labels_makes_a_figure_and_none_makes_none():
    svg, _ = drawn([cell("a", 95, draw, 0.7 + draw / 100) for draw in range(3)], reference=None)
    assert len(re.findall('class="dose', svg)) == 1
    assert not re.search(r"\b(nan|inf)\b", svg)
    assert drawn([cell("a", 95, 0, math.nan)], reference=None)[0] is None
    assert drawn([cell("a", 95, 0, 0.7)], figure=gain_figure)[0] is None


def test_numbers_of_labels_that_would_run_into_one_another_are_not_written():
    svg, _ = drawn([cell("a", labels, 0, 0.7) for labels in (47, 50, 95, 4016)], reference=None)
    ticks = re.findall(r'class="tick middle"[^>]*>([^<]*)<', svg)
    assert ticks == ["", "50", "95", "4\N{NARROW NO-BREAK SPACE}016"]


def test_a_hostile_name_stays_text():
    cells = [cell(arm, n, 0, 0.7, dataset=HOSTILE) for arm in (HOSTILE, REFERENCE) for n in (47, 95)]
    for figure in (auc_figure, gain_figure):
        svg, _ = drawn(cells, figure=figure)
        assert not re.search(r"<(script|img)", svg)
        assert "&lt;script&gt;" in svg
    assert not re.search(r"<(script|img)", drawn(cells, figure=gain_figure, reference=HOSTILE)[0])
