"""The report of a preparation: counts, quarantine, quality, montage, with any file and any name in it."""

import re
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from page_reader import Page

from raydr.images.jpeg import UnreadableImageError, encode
from raydr.images.preprocess import Preprocess
from raydr.reporting.montage import choose, make_tiles
from raydr.reporting.prepare_report import PrepareReport, montage_groups, render_prepare_report, write_prepare_report
from raydr.reporting.quality_figures import DIAMETER, spreads

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
QUARANTINE = pa.schema([(name, pa.string()) for name in ("image_id", "uri", "reason", "message")])
FLOATS = ("disc_x_px", "disc_y_px", "disc_radius_px", "disc_fraction", "focus", "blur", "brightness", "overexposed")
QUALITY = pa.schema(
    [
        *((name, pa.string()) for name in ("image_id", "uri")),
        *((name, pa.int32()) for name in ("width_px", "height_px")),
        *((name, pa.float32()) for name in (*FLOATS, "underexposed")),
        ("gradable", pa.bool_()),
    ]
)


def quality(num_images, *, seed=0, name="eye", **more):
    generator = np.random.default_rng(seed)
    rows = [
        {
            "image_id": f"{name}{number}",
            "uri": f"{name}{number}.jpg",
            "width_px": 300,
            "height_px": 200,
            "disc_x_px": 150.0,
            "disc_y_px": 100.0,
            "disc_radius_px": 120.0,
            "disc_fraction": 0.75,
            **{figure: generator.random() for figure in ("focus", "blur", "brightness", "overexposed", "underexposed")},
            "gradable": number % 5 != 0,
            **more,
        }
        for number in range(num_images)
    ]
    return pa.Table.from_pylist(rows, schema=QUALITY)


def quarantine(*entries):
    return pa.Table.from_pylist([dict(zip(QUARANTINE.names, entry, strict=True)) for entry in entries], QUARANTINE)


def photograph(_):
    rows, columns = np.mgrid[:200, :300] + 0.5
    light = np.where(np.hypot(columns - 150, rows - 100) <= 120, 160, 0) + 10 * np.sin(columns / 7)
    return encode(np.clip(light[:, :, None] * [1.0, 0.5, 0.25], 0, 255).astype(np.uint8))


def unreadable(uri):
    raise UnreadableImageError("missing", f"no file {uri}")


def tiles_of(table, *, read=photograph):
    return make_tiles(table, choose(table, seed=0), read=read, preprocess=Preprocess(side_px=64))


def report(table, bad=None, **more):
    bad = quarantine() if bad is None else bad
    return PrepareReport(
        title=more.pop("title", "prepare"),
        created=datetime(2026, 3, 4, tzinfo=UTC),
        num_images=table.num_rows + bad.num_rows,
        num_written=table.num_rows,
        num_shards=2,
        num_bytes=1_234_567,
        quarantine=bad,
        quality=table,
        side_px=64,
        **more,
    )


def read(found):
    return Page(render_prepare_report(found))


def test_the_page_is_whole_and_loads_nothing():
    table = quality(40)
    page = read(report(table, tiles=tiles_of(table), settings="a = 1", digests={"manifest": "9c1f"}))
    assert page.loads_nothing()
    assert page.has_every_target()
    for words in ("40 of 40 photographs", "every photograph could be used", "80 %", "1.2 MB", "9c1f"):
        assert words in page.text.replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert not re.search(r"\b(nan|inf)\b", page.source.partition("<body>")[2].lower())


def test_an_empty_quarantine_is_said():
    assert "Empty: every photograph could be read" in read(report(quality(3))).text


def test_reasons_are_counted_the_most_frequent_first_and_examples_are_cut():
    entries = [(f"cut{number}", f"cut{number}.jpg", "truncated", "43 bytes missing") for number in range(9)]
    text = read(report(quality(3), quarantine(("gone", "gone.jpg", "missing", "no file gone.jpg"), *entries))).text
    assert text.index("9 truncated The file ends before the picture does.") < text.index("1 missing There is no such")
    assert "cut4" in text
    assert "cut5" not in text
    assert "… and 4 more; all are in quarantine.parquet." in text


def test_a_path_is_not_said_twice():
    text = read(report(quality(3), quarantine(("gone", "gone.jpg", "missing", "no file gone.jpg")))).text
    assert text.count("gone.jpg") == 1


def test_all_unreadable_is_a_report_without_figures():
    page = read(report(quality(0), quarantine(("a", "a.jpg", "empty", "no bytes")), tiles=[]))
    assert "0 of 1 photograph" in page.text
    assert "no photograph was judged" in page.text
    assert "Quality" not in page.text
    assert page.has_every_target()


def test_a_single_image_has_all_its_figures():
    table = quality(1)
    page = read(report(table, tiles=tiles_of(table)))
    assert page.tags.count("figure") == 1
    assert "Drawn at random, least sharp, darkest, brightest, estimated ungradable." in page.text
    assert "Retina's diameter" in page.text


def test_figures_that_are_not_known_are_left_out():
    unknown = dict.fromkeys((*FLOATS, "underexposed", "gradable", "width_px", "height_px"))
    page = read(report(quality(4, **unknown)))
    assert "no photograph was judged" in page.text
    assert "Brightness" not in page.text


def test_photographs_without_a_disc_and_small_ones_are_noticed():
    assert "No retinal disc was found in 3 photographs" in read(report(quality(3, disc_fraction=0.0))).text
    assert (
        "The retina of 3 photographs is less than 64 pixels across"
        in read(report(quality(3, disc_radius_px=20.0))).text
    )


@pytest.mark.parametrize("montage", [True, False])
def test_the_page_says_whether_it_holds_photographs_of_patients(montage):
    table = quality(5)
    page = read(report(table, tiles=tiles_of(table) if montage else None))
    assert ("Contains photographs of patients" in page.text) is montage
    assert ("holds photographs of patients" in page.text) is montage
    assert ("This page holds no photograph" in page.text) is not montage
    assert ("data:image" in page.source) is montage


def test_a_photograph_that_is_gone_is_a_tile_that_says_so():
    table = quality(5)
    page = read(report(table, tiles=tiles_of(table, read=unreadable)))
    assert page.text.count("can no longer be read: missing: no file eye") == 5
    assert "data:image" not in page.source


def test_every_tile_is_in_a_group_with_a_heading():
    table = quality(200)
    groups = montage_groups(tiles_of(table))
    titles = ["At random", "Least sharp", "Darkest", "Brightest", "Estimated ungradable"]
    assert [group.title for group in groups] == titles
    assert sum(len(group.tiles) for group in groups) == len(choose(table, seed=0))


def test_a_page_with_a_whole_montage_stays_small():
    def noise(_):
        return encode(np.random.default_rng(0).integers(0, 256, (600, 900, 3), dtype=np.uint8), quality=95)

    table = quality(200)
    tiles = make_tiles(
        table, choose(table, seed=0), read=noise, preprocess=Preprocess(side_px=300, crop=False, enhance="none")
    )
    assert len(tiles) >= 28
    assert len(render_prepare_report(report(table, tiles=tiles))) < 2_100_000


def test_a_hostile_name_stays_text_wherever_it_stands():
    def build(name):
        table = quality(30, name=name)
        return read(
            report(
                table,
                quarantine((name, name, name, "other"), (name, "§", "empty", name)),
                title=name,
                tiles=[*tiles_of(table), *tiles_of(table, read=lambda _: name.encode())],
                settings=name,
                digests={name: name},
                enhance=name,
                quarantine_file=name,
            )
        )

    plain, hostile = build("eye"), build(HOSTILE)
    assert hostile.tags == plain.tags
    assert not hostile.handlers
    assert "onerror=alert(1)" in hostile.text


def test_the_file_is_written_whole_where_it_was_asked_for(tmp_path):
    write_prepare_report(str(tmp_path / "run" / "report.html"), report(quality(3)))
    assert (tmp_path / "run" / "report.html").read_text(encoding="utf-8") == render_prepare_report(report(quality(3)))


@pytest.mark.parametrize("radius", [[60, 62, 64], [60, 120, 1600]])
def test_every_photograph_is_in_a_bar_of_the_histogram(radius):
    rows = [quality(1, seed=number, disc_radius_px=float(size)).to_pylist()[0] for number, size in enumerate(radius)]
    (spread,) = [
        entry
        for entry in spreads(pa.Table.from_pylist(rows, schema=QUALITY), side_px=64)
        if entry.measure.name == DIAMETER
    ]
    assert (spread.lowest, spread.median, spread.highest) == tuple(2 * size for size in radius)
    assert spread.figure.count('class="bar ') == len(radius)
