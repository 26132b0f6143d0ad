"""A photograph's row: the picture and what is known of it, or why there is none."""

import hashlib

import numpy as np
import pytest

from raydr.data.prepared import QUALITY, SHARD, Recipe, Tally, prepare_chunk, prepare_one
from raydr.images.jpeg import encode
from raydr.images.preprocess import Preprocess

RECIPE = Recipe(Preprocess(side_px=48), 90)


@pytest.fixture
def photograph(tmp_path):
    y, x = np.mgrid[:200, :300]
    waves = 120 + 60 * np.sin(x / 3)[..., None] * np.ones(3)
    picture = np.where(((x - 140) ** 2 + (y - 100) ** 2 < 90**2)[..., None], waves, 0).astype(np.uint8)
    path = tmp_path / "good.jpeg"
    path.write_bytes(encode(picture))
    return path


def test_a_row_holds_the_picture_and_what_is_known_of_the_photograph(photograph):
    row, content = prepare_one(str(photograph), RECIPE), photograph.read_bytes()
    assert row["jpeg"] == encode(RECIPE.preprocess.canvas(content), quality=90)
    assert row["sha256"] == hashlib.sha256(content).hexdigest()
    assert (row["width_px"], row["height_px"]) == (300, 200)
    assert row["disc_x_px"] == pytest.approx(140, abs=2)
    assert row["disc_radius_px"] == pytest.approx(90, abs=2)
    assert row["disc_fraction"] == pytest.approx(np.pi * 90**2 / 60_000, rel=0.05)
    assert set(row) | {"image_id", "uri"} == {*QUALITY.names, "jpeg"}


def test_a_broken_photograph_has_its_reason_in_place_of_a_picture(tmp_path, photograph):
    broken = tmp_path / "broken.jpeg"
    broken.write_bytes(photograph.read_bytes()[:900])
    row = prepare_one(str(broken), RECIPE)
    assert (row["reason"], set(row)) == ("truncated", {"sha256", "reason", "message"})
    gone = prepare_one(str(tmp_path / "gone.jpeg"), RECIPE)
    assert (gone["reason"], set(gone)) == ("missing", {"reason", "message"})


def test_nothing_of_a_file_that_is_no_photograph_is_in_its_row(tmp_path):
    """Whoever names another file in a manifest gets none of it."""
    for name, content in {
        "passwd": b"root:x:0:0:secret",
        "png": b"\x89PNG\r\n\x1a\nsecret",
        "jpeg": b"\xff\xd8\xffsecret",
    }.items():
        (tmp_path / name).write_bytes(content)
        row = prepare_one(str(tmp_path / name), RECIPE)
        assert row["reason"] in ("not_an_image", "truncated", "unreadable")
        assert "jpeg" not in row
        assert "secret" not in str(row)


def test_a_chunk_is_its_photographs_rows_in_order_and_counts_the_bad_ones(tmp_path, photograph):
    uris = [str(photograph), str(tmp_path / "gone.jpeg"), str(photograph)] * 5
    tally, table = prepare_chunk([f"{number}" for number in range(15)], uris, RECIPE)
    assert tally == Tally(15, 5)
    assert table.schema.equals(SHARD)
    assert table["image_id"].to_pylist() == [f"{number}" for number in range(15)]
    assert table["reason"].to_pylist() == [None, "missing", None] * 5
    alone = prepare_one(str(photograph), RECIPE)
    assert table["jpeg"].to_pylist() == [alone["jpeg"], None, alone["jpeg"]] * 5
