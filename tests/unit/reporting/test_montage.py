"""Which photographs a montage shows, and where its lines lie."""

import re

import numpy as np
import pyarrow as pa
import pytest

from raydr.images.jpeg import decode, encode
from raydr.images.preprocess import Preprocess
from raydr.reporting.montage import Choice, Tile, choose, drawing, make_tiles

FIGURES = {"width_px": 3000, "height_px": 2000, "disc_x_px": 1500.0, "disc_y_px": 1000.0, "disc_radius_px": 1200.0}


def table(focus, brightness=None, gradable=None):
    count = len(focus)
    return pa.table(
        {
            "focus": pa.array(focus, pa.float32()),
            "brightness": pa.array([0.5] * count if brightness is None else brightness, pa.float32()),
            "gradable": pa.array([True] * count if gradable is None else gradable, pa.bool_()),
        }
    )


def tile(**figures):
    row = {"focus": 1.0, "brightness": 0.5, "disc_fraction": 0.7, **FIGURES, **figures}
    return Tile("a", ("drawn at random",), row, photo=b"\xff\xd8", canvas=b"\xff\xd8")


def rows_with(choices, reason):
    return {choice.row for choice in choices if reason in choice.reasons}


def test_the_extremes_are_the_extremes():
    generator = np.random.default_rng(0)
    focus, brightness = generator.random(500), generator.random(500)
    chosen = choose(table(focus, brightness), seed=0)
    assert rows_with(chosen, "least sharp") == set(np.argsort(focus)[:6].tolist())
    assert rows_with(chosen, "darkest") == set(np.argsort(brightness)[:3].tolist())
    assert rows_with(chosen, "brightest") == set(np.argsort(brightness)[-3:].tolist())
    assert len(rows_with(chosen, "drawn at random")) == 12


def test_a_photograph_is_shown_once_with_every_reason_for_it():
    chosen = choose(table([0.1, 0.2, 0.3], [0.9, 0.2, 0.1], [False, True, True]), seed=0)
    assert sorted(choice.row for choice in chosen) == [0, 1, 2]
    (worst,) = [choice for choice in chosen if choice.row == 0]
    assert worst.reasons == ("drawn at random", "least sharp", "brightest", "estimated ungradable")


def test_the_same_seed_chooses_the_same_and_another_one_others():
    found = table(np.linspace(0, 1, 500))
    assert choose(found, seed=1) == choose(found, seed=1)
    assert choose(found, seed=1) != choose(found, seed=2)


def test_only_photographs_known_to_be_ungradable_are_shown_as_such():
    chosen = choose(table([0.5] * 100, gradable=[None] * 99 + [False]), seed=0)
    assert rows_with(chosen, "estimated ungradable") == {99}


def test_unknown_figures_are_no_extremes():
    chosen = choose(table([None] * 50 + [0.9], [None] * 51), seed=0)
    assert rows_with(chosen, "least sharp") == {50}
    assert rows_with(chosen, "darkest") == set()


def test_an_empty_table_has_nothing_to_show():
    assert choose(table([]), seed=0) == []


def test_lines_lie_where_the_figures_say_and_the_drawing_holds_the_square_that_reaches_beyond_the_photograph():
    drawn = drawing(tile())
    assert drawn.count('cx="1500.0" cy="1000.0" r="1200.0"') == 2
    assert drawn.count('x="300.0" y="-200.0" width="2400.0" height="2400.0"') == 2
    left, top, width, height = map(float, re.search(r'viewBox="([^"]*)"', drawn).group(1).split())
    assert left < 0
    assert top < -200
    assert left + width > 3000
    assert top + height > 2200


def test_a_photograph_without_a_disc_has_no_circle_and_one_that_is_not_cropped_no_square():
    assert "<circle" not in drawing(tile(disc_fraction=0.0))
    whole = drawing(tile(), is_cropped=False)
    assert "<circle" in whole
    assert "square" not in whole


def test_photograph_and_canvas_are_what_the_file_holds_in_small():
    rows, columns = np.mgrid[:800, :1200]
    light = np.where(np.hypot(columns - 600, rows - 400) <= 360, 180, 0).astype(np.uint8)
    data = encode(np.repeat(light[:, :, None], 3, axis=2))
    found = pa.Table.from_pylist([{"image_id": "a", "uri": "a.jpg", "disc_fraction": 0.4, **FIGURES}])
    (made,) = make_tiles(found, [Choice(0, ("why",))], read=lambda _: data, preprocess=Preprocess(side_px=512))
    photo, canvas = decode(made.photo, min_side_px=1000), decode(made.canvas, min_side_px=1000)
    assert max(photo.shape) == 440
    assert photo.shape[1] / photo.shape[0] == pytest.approx(1.5, abs=0.01)
    assert canvas.shape == (300, 300, 3)
    assert canvas[150, 5].mean() > 120  # the disc fills the canvas
    assert photo[146, 5].mean() < 20
