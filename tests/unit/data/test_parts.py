"""A part counts when it is whole and its record beside it; nobody else's file is ever touched."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raydr import storage
from raydr.data.parts import (
    MANIFEST,
    commit_chunks,
    commit_part,
    committed_parts,
    delete_others,
    find_files,
    newest_rows,
    read_records,
    write_manifest,
)
from raydr.data.prepared import SHARD, Recipe
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess

RECIPE = Recipe(Preprocess(side_px=48), 90)


def _rows(names, *, bad=()):
    rows = [
        {"image_id": name, "uri": f"{name}.jpeg", **({"reason": "empty"} if name in bad else {"jpeg": b"jpeg of " * 9})}
        for name in names
    ]
    return pa.Table.from_pylist(rows, schema=SHARD)


def _committed(folder, recipe=RECIPE, *, verify=False):
    return committed_parts(str(folder), find_files(str(folder)), recipe, verify=verify)


def test_a_part_and_its_record_say_the_same(tmp_path):
    part = commit_part(str(tmp_path), _rows("abc", bad="b"), number=3, recipe=RECIPE)
    content = (tmp_path / part.name).read_bytes()
    assert part.name == f"part-00003-{RECIPE.digest}.parquet"
    assert (part.num_bytes, part.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (part.num_images, part.num_pictures) == (3, 2)
    pictures = pq.read_table(tmp_path / part.name)
    assert pictures.to_pylist() == [{"image_id": name, "jpeg": b"jpeg of " * 9} for name in "ac"]
    record = pq.read_table(tmp_path / part.name.replace(".parquet", ".rows"))
    assert record.column_names == [*SHARD.names[:-1], "group", "place"]
    assert record["reason"].to_pylist() == [None, "empty", None]
    assert record["place"].to_pylist() == [0, None, 1]
    assert _committed(tmp_path) == _committed(tmp_path, verify=True) == [part]


def test_the_bytes_of_a_part_do_not_depend_on_the_tasks_that_made_its_rows(tmp_path):
    names = [f"{number:03d}" for number in range(150)]
    pieces = [
        [_rows(names)],
        [_rows(names[:1]), _rows(names[1:90]), _rows(names[90:])],
        [_rows([name]) for name in names],
    ]
    parts = [commit_chunks(str(tmp_path), number, RECIPE, None, *chunks) for number, chunks in enumerate(pieces)]
    assert len({part.sha256 for part in parts}) == 1


def test_a_part_without_its_record_or_of_another_size_counts_for_nothing(tmp_path):
    whole, torn, bare, odd, other = (
        commit_part(str(tmp_path), _rows("ab"), number=number, recipe=RECIPE) for number in range(5)
    )
    (tmp_path / torn.name).write_bytes((tmp_path / torn.name).read_bytes()[:-1])
    (tmp_path / bare.name).with_suffix(".rows").unlink()
    (tmp_path / odd.name).with_suffix(".rows").write_text("{}")
    shutil.copy((tmp_path / whole.name).with_suffix(".rows"), (tmp_path / other.name).with_suffix(".rows"))
    assert _committed(tmp_path) == [whole]


def test_a_changed_byte_is_found_where_digests_are_compared(tmp_path):
    part = commit_part(str(tmp_path), _rows("ab"), number=0, recipe=RECIPE)
    content = bytearray((tmp_path / part.name).read_bytes())
    content[50] ^= 1
    (tmp_path / part.name).write_bytes(content)
    assert _committed(tmp_path) == [part]
    assert _committed(tmp_path, verify=True) == []


def test_an_older_record_does_not_vouch_for_a_write_that_is_cut_off(tmp_path, monkeypatch):
    part = commit_part(str(tmp_path), _rows("ab"), number=0, recipe=RECIPE)
    write = storage.write_bytes

    def cut_off(uri, content):
        if uri.endswith(".rows"):
            raise KeyboardInterrupt
        write(uri, content)

    monkeypatch.setattr(storage, "write_bytes", cut_off)
    with pytest.raises(KeyboardInterrupt):
        commit_part(str(tmp_path), _rows("ab"), number=0, recipe=RECIPE)
    assert (tmp_path / part.name).stat().st_size == part.num_bytes
    assert _committed(tmp_path) == []


@pytest.mark.parametrize(
    "other",
    [
        Recipe(Preprocess(side_px=64), 90),
        Recipe(Preprocess(side_px=48, crop=False), 90),
        Recipe(Preprocess(side_px=48, enhance="clahe"), 90),
        Recipe(Preprocess(side_px=48), 91),
    ],
)
def test_parts_of_another_recipe_are_left_out_and_stay_until_they_are_told_to_go(tmp_path, other):
    old = commit_part(str(tmp_path), _rows("ab"), number=0, recipe=RECIPE)
    new = commit_part(str(tmp_path), _rows("ab"), number=0, recipe=other)
    assert _committed(tmp_path) == [old]
    assert _committed(tmp_path, other) == [new]
    (tmp_path / f".{old.name}.0123abcd").write_bytes(b"what a killed write leaves")
    write_manifest(str(tmp_path), [new], other)
    delete_others(str(tmp_path), find_files(str(tmp_path)), [new])
    names = {MANIFEST, new.name, new.name.replace(".parquet", ".rows")}
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize("name", ["diary.txt", "part-00000.parquet", "part-00000-0123abcd.json", "more/a.rows"])
def test_a_file_that_is_not_of_prepare_is_refused(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"holds {name}, which is not of prepare"):
        find_files(str(tmp_path))


def test_the_manifest_names_parts_and_recipe(tmp_path):
    part = commit_part(str(tmp_path), _rows("abc", bad="b"), number=0, recipe=RECIPE)
    write_manifest(str(tmp_path), [part], RECIPE)
    assert json.loads((tmp_path / MANIFEST).read_text()) == {
        "format": 1,
        "preprocess": {"side_px": 48, "crop": True, "enhance": "none", "max_megapixels": 200.0},
        "jpeg_quality": 90,
        "parts": [
            {"name": part.name, "sha256": part.sha256, "bytes": part.num_bytes, "images": 3, "pictures": 2},
        ],
    }


def test_photographs_that_fail_as_before_make_no_new_part(tmp_path):
    rows = _rows("abc", bad="bc")
    assert commit_chunks(str(tmp_path), 0, RECIPE, ["empty", "empty"], _rows("bc", bad="bc")) is None
    assert list(tmp_path.iterdir()) == []
    part = commit_chunks(str(tmp_path), 1, RECIPE, ["empty", "empty", None], rows)
    other = commit_chunks(str(tmp_path), 2, RECIPE, ["missing"], _rows("b", bad="b"))
    known = read_records(str(tmp_path), [part.name, other.name], ["image_id", "reason"])
    assert known["image_id"].to_pylist() == ["a", "c", "b"]
    assert known["reason"].to_pylist() == [None, "empty", "empty"]


def test_records_say_where_each_picture_lies(tmp_path):
    names = [[f"{number}-{row}" for row in range(40)] for number in range(2)]
    parts = [
        commit_part(str(tmp_path), _rows(names[number], bad=["1-1"]), number=number, recipe=RECIPE)
        for number in range(2)
    ]
    table = read_records(str(tmp_path), [part.name for part in parts], ["image_id", "group", "place"])
    assert table.column_names == ["image_id", "group", "place", "part"]
    assert table["image_id"].to_pylist() == names[0] + names[1]
    assert table["place"][41].as_py() is None
    for row in table.to_pylist():
        if row["place"] is not None:
            with pq.ParquetFile(tmp_path / parts[row["part"]].name) as file:
                assert file.read_row_group(row["group"])["image_id"][row["place"]].as_py() == row["image_id"]


def test_the_last_row_of_an_image_is_its_newest():
    stored = pa.chunked_array([["a", "b"], ["c", "a", None]])
    assert newest_rows(stored, pa.array(["c", "d", "a"])).tolist() == [2, -1, 3]


def test_a_recipe_says_nothing_of_what_comes_after_the_shards():
    later = dataclasses.replace(RECIPE, preprocess=dataclasses.replace(RECIPE.preprocess, through_px=48))
    assert later.digest == RECIPE.digest


def test_processes_that_prepare_load_neither_torch_nor_ray():
    code = "import sys, raydr.data.parts, raydr.data.prepared; print({'torch', 'ray'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
