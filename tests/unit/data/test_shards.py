"""Readers of shards see what the manifest names, and of every image the newest."""

import json

import numpy as np
import pyarrow as pa
import pytest

from raydr.data.parts import MANIFEST, commit_part, write_manifest
from raydr.data.prepared import SHARD, Recipe
from raydr.data.shards import find_images, quarantined, read_jpegs, shard_side
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess

RECIPE = Recipe(Preprocess(side_px=48), 90)


@pytest.fixture
def commit(tmp_path):
    """Commits a part whose rows are (image, why it is bad)."""

    def write(number, *rows):
        made = [
            {"image_id": name, "uri": name, "jpeg": None if reason else b"jpeg", "reason": reason, "message": reason}
            for name, reason in rows
        ]
        table = pa.Table.from_pylist(made, schema=SHARD)
        return commit_part(str(tmp_path), table, number=number, recipe=RECIPE)

    return write


def _where(shards, names):
    found = find_images(str(shards), pa.array(names))
    places = {}
    for group in found.groups.to_pylist():
        part = int(group["part"].rpartition("part-")[2][:5])
        for place, number in zip(group["places"], group["wanted"], strict=True):
            places[names[number]] = (part, group["group"], place)
    return places, [names[number] for number in found.missing]


def test_the_newest_row_of_an_image_is_the_one_that_is_read(tmp_path, commit):
    first = commit(0, ("a", None), ("b", "truncated"), ("c", None), ("d", None))
    second = commit(1, ("b", None), ("c", "missing"))
    write_manifest(str(tmp_path), [first, second], RECIPE)
    places, missing = _where(tmp_path, ["d", "c", "b", "e", "a"])
    assert places == {"a": (0, 0, 0), "d": (0, 0, 2), "b": (1, 0, 0)}
    assert list(places) == ["a", "d", "b"]  # the shards' order
    assert missing == ["c", "e"]
    assert quarantined(str(tmp_path)) == {"c": "missing: missing"}


def test_places_are_counted_within_row_groups(tmp_path, commit):
    part = commit(0, *((f"{number:03d}", None) for number in range(40)))
    write_manifest(str(tmp_path), [part], RECIPE)
    found = find_images(str(tmp_path), pa.array(["039", "015", "016", "000"]))
    assert found.groups["group"].to_pylist() == [0, 1, 2]
    assert found.groups["places"].to_pylist() == [[0, 15], [0], [7]]
    assert found.groups["wanted"].to_pylist() == [[3, 1], [2], [0]]
    assert found.missing.dtype == np.int64
    assert not len(found.missing)


def test_nothing_found_is_an_empty_table(tmp_path, commit):
    write_manifest(str(tmp_path), [commit(0, ("a", None))], RECIPE)
    found = find_images(str(tmp_path), pa.array(["x", "y"]))
    assert found.groups.num_rows == 0
    assert found.missing.tolist() == [0, 1]


def test_a_part_that_the_manifest_does_not_name_is_not_read(tmp_path, commit):
    first = commit(0, ("a", None))
    write_manifest(str(tmp_path), [first], RECIPE)
    commit(1, ("a", None), ("b", None))
    assert _where(tmp_path, ["a", "b"]) == ({"a": (0, 0, 0)}, ["b"])


def test_a_folder_without_a_manifest_is_not_read(tmp_path, commit):
    commit(0, ("a", None))
    with pytest.raises(InputError, match=r"is no finished folder of `prepare` \(manifest\.json: .*No such file"):
        shard_side(str(tmp_path))


@pytest.mark.parametrize(("damage", "message"), [(None, "is missing"), (b"short", "has 5 bytes, not ")])
def test_a_lost_or_torn_part_is_an_error_that_names_it(tmp_path, commit, damage, message):
    part = commit(0, ("a", None))
    write_manifest(str(tmp_path), [part], RECIPE)
    (tmp_path / part.name).unlink() if damage is None else (tmp_path / part.name).write_bytes(damage)
    with pytest.raises(InputError, match=f"{MANIFEST}: parts: {part.name} {message}"):
        find_images(str(tmp_path), pa.array(["a"]))


@pytest.mark.parametrize(("text", "message"), [("{", "not valid JSON"), ("[]", "preprocess: is missing")])
def test_a_file_that_is_no_manifest_is_an_error(tmp_path, text, message):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=message):
        shard_side(str(tmp_path))


def test_a_damaged_picture_is_an_error_that_names_the_part(tmp_path, commit):
    part = commit(0, ("a", None), ("b", None))
    write_manifest(str(tmp_path), [part], RECIPE)
    content = bytearray((tmp_path / part.name).read_bytes())
    content[content.index(b"\x04\x00\x00\x00jpeg") + 4] ^= 1  # a Parquet value follows its length
    (tmp_path / part.name).write_bytes(content)
    found = find_images(str(tmp_path), pa.array(["a"]))
    places = pa.table({"part": found.groups["part"], "group": found.groups["group"], "place": [0]})
    with pytest.raises(InputError, match=f"{part.name}: cannot be read .*CRC.* verify = true"):
        read_jpegs(places)


def test_the_side_is_the_pictures(tmp_path, commit):
    write_manifest(str(tmp_path), [commit(0, ("a", None))], RECIPE)
    assert shard_side(str(tmp_path)) == json.loads((tmp_path / MANIFEST).read_text())["preprocess"]["side_px"] == 48
