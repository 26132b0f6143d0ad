"""The drawing board."""

import re

import numpy as np
import pytest

from raydr.reporting.plot import Axis, Plot, nice_axis, share_axis


def board():
    return Plot(share_axis("across"), share_axis("up"), "a plot")


@pytest.mark.parametrize(("low", "high"), [(0.812, 0.859), (0, 7.1), (-3, 1200), (5, 5), (1e-5, 3e-5)])
def test_round_ticks_hold_all_values_and_are_few(low, high):
    axis = nice_axis([high, low], "")
    assert axis.low <= low <= high <= axis.high
    assert 2 <= len(axis.ticks) <= 9
    assert np.allclose(np.diff(axis.ticks), axis.ticks[1] - axis.ticks[0])


def test_a_step_of_epochs_is_a_whole_epoch():
    assert nice_axis([1, 2], "epoch", smallest_step=1).ticks == (1, 2)


@pytest.mark.parametrize(("low", "high"), [(1e-4, 1e-2), (0.02, 0.9), (3, 70)])
def test_a_logarithmic_axis_has_ticks_inside(low, high):
    axis = nice_axis([low, high], "", is_log=True)
    assert axis.low < low < high < axis.high
    assert len(axis.ticks) >= 2
    assert axis.part((axis.low * axis.high) ** 0.5) == pytest.approx(0.5)


def test_values_lie_where_the_axes_say():
    left, bottom = board().place(0, 0)
    right, top = board().place(1, 1)
    assert left < right
    assert top < bottom
    assert board().place(0.5, 0.5) == ((left + right) / 2, (top + bottom) / 2)


def test_a_curve_of_very_many_points_is_drawn_within_a_unit_by_few():
    plot, rate = board(), np.linspace(0, 1, 50_000)
    points = list(zip(rate.tolist(), (rate**0.3).tolist(), strict=True))
    plot.line(points, "curve")
    path = re.search(r'd="M([^"]*)"', plot.svg()).group(1)
    drawn = np.array([[float(number) for number in pair.split()] for pair in path.split("L")])
    assert len(drawn) < 1200
    wanted = np.array([plot.place(x, y) for x, y in points[::50]])
    assert np.linalg.norm(wanted[:, None] - drawn[None], axis=2).min(axis=1).max() < 1


def test_corners_of_a_staircase_are_kept():
    plot = board()
    plot.line([(0, 0), (0, 0.25), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)], "curve")
    assert re.search(r'd="M([^"]*)"', plot.svg()).group(1).count("L") == 4


def test_the_corners_of_a_filled_area_are_kept_though_both_its_edges_end_there():
    plot, rates = board(), [0, 0.25, 0.5, 0.75, 1]
    high, low = [0.5, 1, 1, 1, 1], [0, 0.1, 0.2, 0.3, 1]
    plot.area(zip(rates, low, strict=True), zip(rates, high, strict=True), "band")
    path = re.search(r'd="M([^"]*)Z"', plot.svg()).group(1).split("L")
    for corner in [(0, 0), (0.75, 0.3), (1, 1), (0.25, 1), (0, 0.5)]:
        assert "{:.1f} {:.1f}".format(*plot.place(*corner)) in path


def test_letters_that_would_hide_one_another_share_a_badge():
    plot = board()
    plot.badges([(0.5, 0.5, "A", "first"), (0.9, 0.9, "B", "other"), (0.501, 0.5, "C", "second")], "point")
    drawn = plot.svg()
    assert drawn.count("<rect") == 2
    assert ">AC<" in drawn
    assert "first; second" in drawn


def test_words_in_a_picture_are_escaped():
    plot = Plot(Axis(0, 1, "<b>", (0, 1)), share_axis("up"), '"><script>')
    plot.dot(0.5, 0.5, "mark", title="<i>")
    plot.text(0.5, 0.5, "<u>", "tick")
    assert not re.search(r"<(b|i|u|script)>", plot.svg())
