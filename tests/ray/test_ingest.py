"""`prepare_shards` loses no photograph and does nothing twice: each is in a shard or, with its reason, quarantined."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from raydr.data import part_tasks
from raydr.data.ingest import prepare_shards
from raydr.data.parts import MANIFEST
from raydr.data.prepared import QUALITY, Recipe, prepare_chunk
from raydr.errors import InputError, RunError
from raydr.images.jpeg import encode
from raydr.images.preprocess import Preprocess

pytestmark = pytest.mark.ray
CANVAS = Preprocess(side_px=48)


def _rows(uris):
    return pa.table({"image_id": [f"set/{Path(uri).stem}" for uri in uris], "uri": uris})


def _prepare(rows, out, *, images_per_shard=5, preprocess=CANVAS, **options):
    return prepare_shards(
        rows,
        out=str(out),
        recipe=Recipe(preprocess, 90),
        images_per_shard=images_per_shard,
        decode_cpus=1.0,
        **options,
    )


def _parts(out):
    """The committed parts and when each was written."""
    return {path: path.stat().st_mtime_ns for path in sorted((out / "shards").glob("part-*.parquet"))}


def _stored(out):
    """All rows of the committed parts, each with its picture if it has one."""
    rows = []
    for part in _parts(out):
        pictures = {row["image_id"]: row["jpeg"] for row in pq.read_table(part).to_pylist()}
        record = pq.read_table(part.with_suffix(".rows")).to_pylist()
        assert [row["image_id"] for row in record if row["place"] is not None] == list(pictures)
        rows += [{**row, "jpeg": pictures.get(row["image_id"])} for row in record]
    return rows


def test_broken_files_are_quarantined_with_their_reason_and_cost_no_other(
    ray_cluster, tmp_path, write_photographs, write_broken
):
    good, broken = write_photographs(tmp_path / "good", 12), write_broken(tmp_path / "broken")
    uris = good.copy()
    for number, uri in enumerate(broken.values()):
        uris.insert(3 * number, uri)
    seen = []
    counts = _prepare(_rows(uris), tmp_path / "out", on_progress=seen.append)

    assert (counts.num_images, counts.num_written, counts.num_new, counts.num_shards) == (17, 12, 12, 4)
    assert counts.quarantined == dict.fromkeys(sorted(broken), 1)
    assert (seen[-1].num_done, seen[-1].num_images, seen[-1].num_bad) == (17, 17, 5)
    quarantine = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()
    assert {row["reason"]: row["uri"] for row in quarantine} == broken
    assert all(row["image_id"] == f"set/{row['reason']}" and row["message"] for row in quarantine)

    # Every shard is five rows of the manifest, in its order.
    parts = _parts(tmp_path / "out")
    assert [path.name[:10] for path in parts] == [f"part-{number:05d}" for number in range(4)]
    assert [pq.read_metadata(path.with_suffix(".rows")).num_rows for path in parts] == [5, 5, 5, 2]
    stored = _stored(tmp_path / "out")
    assert [row["uri"] for row in stored] == uris
    for row in stored:
        is_good = row["uri"] in good
        assert row["jpeg"] == (encode(CANVAS.canvas(Path(row["uri"]).read_bytes()), quality=90) if is_good else None)
        assert (row["reason"] is None) == is_good

    quality = pq.read_table(tmp_path / "out" / "quality.parquet")
    assert quality.schema.names == QUALITY.names
    assert quality["uri"].to_pylist() == good
    assert set(quality["width_px"].to_pylist()) == {160}
    assert counts.num_bytes == sum(path.stat().st_size for path in parts)
    manifest = json.loads((tmp_path / "out" / "shards" / MANIFEST).read_text())
    assert [part["name"] for part in manifest["parts"]] == [path.name for path in parts]


def test_the_same_rows_give_the_same_bytes_however_they_are_dealt_to_tasks(
    ray_cluster, tmp_path, write_photographs, monkeypatch
):
    rows = _rows(write_photographs(tmp_path / "photographs", 11))
    _prepare(rows, tmp_path / "one")
    monkeypatch.setattr(part_tasks, "_LARGEST_CHUNK", 1)
    _prepare(rows, tmp_path / "other")
    one, other = (sorted((tmp_path / name / "shards").iterdir()) for name in ("one", "other"))
    assert [path.name for path in one] == [path.name for path in other]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_new_images_add_shards_and_no_other_is_written_again(ray_cluster, tmp_path, write_photographs):
    uris, out = write_photographs(tmp_path / "photographs", 9), tmp_path / "out"
    _prepare(_rows(uris[2:8]), out)
    before = _parts(out)
    counts = _prepare(_rows(uris[::-1][:-1]), out)  # two more, another order

    assert (counts.num_images, counts.num_written, counts.num_new, counts.num_shards) == (8, 8, 2, 3)
    assert {path: written for path, written in _parts(out).items() if path in before} == before
    assert [row["uri"] for row in _stored(out)] == [*uris[2:8], uris[8], uris[1]]
    assert pq.read_table(out / "quality.parquet")["uri"].to_pylist() == uris[::-1][:-1]

    # Images that left the manifest stay in the shards but count no more.
    counts = _prepare(_rows(uris[:3]), out)
    assert (counts.num_images, counts.num_written, counts.num_new, counts.num_shards) == (3, 3, 1, 4)
    assert pq.read_table(out / "quality.parquet")["uri"].to_pylist() == uris[:3]


def test_a_mended_file_leaves_the_quarantine_and_one_still_broken_makes_no_shard(
    ray_cluster, tmp_path, write_photographs, write_broken
):
    good, broken = write_photographs(tmp_path / "good", 3), write_broken(tmp_path / "broken")
    uris, out = [*good, broken["truncated"], broken["empty"]], tmp_path / "out"
    _prepare(_rows(uris), out, images_per_shard=9)
    before = _parts(out)
    counts = _prepare(_rows(uris), out, images_per_shard=9)
    assert (counts.num_new, counts.quarantined) == (0, {"empty": 1, "truncated": 1})
    assert _parts(out) == before

    Path(broken["truncated"]).write_bytes(Path(good[0]).read_bytes())
    counts = _prepare(_rows(uris), out, images_per_shard=9)
    assert (counts.num_images, counts.num_written, counts.num_new, counts.num_shards) == (5, 4, 1, 2)
    assert counts.quarantined == {"empty": 1}
    assert pq.read_table(out / "quarantine.parquet")["uri"].to_pylist() == [broken["empty"]]
    assert [row["uri"] for row in _stored(out)[5:]] == [broken["truncated"]]


def test_other_settings_start_over_and_the_old_shards_stay_until_the_new_are_complete(
    ray_cluster, tmp_path, write_photographs, monkeypatch
):
    rows, out = _rows(write_photographs(tmp_path / "photographs", 4)), tmp_path / "out"
    _prepare(rows, out)
    old = _parts(out)
    manifest = (out / "shards" / MANIFEST).read_bytes()

    with monkeypatch.context() as cut:
        cut.setattr(part_tasks, "_STALL_TIMEOUT_S", -1.0)
        cut.setattr(part_tasks, "_LOOK_EVERY_S", 0.0)
        with pytest.raises(RunError, match="no task was finished"):
            _prepare(rows, out, preprocess=Preprocess(side_px=32))
    assert {path: written for path, written in _parts(out).items() if path in old} == old
    assert (out / "shards" / MANIFEST).read_bytes() == manifest

    counts = _prepare(rows, out, preprocess=Preprocess(side_px=32))
    assert (counts.num_new, counts.num_shards) == (4, 1)
    assert not set(_parts(out)) & set(old)
    assert {len(row["jpeg"]) > 0 for row in _stored(out)} == {True}


def test_too_many_bad_photographs_leave_the_older_shards_as_they_are(
    ray_cluster, tmp_path, write_photographs, write_broken
):
    good, out = write_photographs(tmp_path / "photographs", 4), tmp_path / "out"
    _prepare(_rows(good), out)
    before, manifest = _parts(out), (out / "shards" / MANIFEST).read_bytes()
    rows = _rows([*good, write_broken(tmp_path / "broken")["truncated"]])
    counts = _prepare(rows, out, preprocess=Preprocess(side_px=32), max_bad_fraction=0.1)
    assert (counts.num_images, counts.num_written) == (5, 4)
    assert (out / "shards" / MANIFEST).read_bytes() == manifest
    assert {path: written for path, written in _parts(out).items() if path in before} == before


def test_torn_lost_and_unrecorded_shards_are_made_again_and_leftovers_go(ray_cluster, tmp_path, write_photographs):
    rows, out = _rows(write_photographs(tmp_path / "photographs", 20)), tmp_path / "out"
    _prepare(rows, out)
    content = {path: path.read_bytes() for path in _parts(out)}
    whole, torn, lost, bare = content
    torn.write_bytes(content[torn][:1000])
    lost.unlink()
    bare.with_suffix(".rows").unlink()
    leftover = whole.with_name(f".{whole.name}.0123abcd")
    leftover.write_bytes(b"half")
    before = whole.stat().st_mtime_ns
    counts = _prepare(rows, out)
    assert (counts.num_written, counts.num_new) == (20, 15)
    assert {path: path.read_bytes() for path in _parts(out)} == content
    assert whole.stat().st_mtime_ns == before
    assert not leftover.exists()

    swapped = bytearray(content[whole])
    swapped[100] ^= 255
    whole.write_bytes(swapped)
    assert _prepare(rows, out).num_new == 0
    assert _prepare(rows, out, verify=True).num_new == 5
    assert whole.read_bytes() == content[whole]


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    diary = tmp_path / "shards" / "diary.txt"
    diary.parent.mkdir()
    diary.write_text("mine")
    with pytest.raises(InputError, match=r"shards: holds diary\.txt"):
        _prepare(_rows(["a.jpeg"]), tmp_path)
    assert diary.read_text() == "mine"


def test_an_image_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match="image_id"):
        _prepare(_rows(["a/1.jpeg", "b/1.jpeg"]), tmp_path)


def test_a_photograph_that_kills_its_process_costs_no_other(ray_cluster, tmp_path, write_photographs, monkeypatch):
    uris = write_photographs(tmp_path / "photographs", 40)

    def lethal(image_ids, *chunk):
        if "set/013" in image_ids:
            os._exit(1)
        return prepare_chunk(image_ids, *chunk)

    monkeypatch.setattr(part_tasks, "prepare_chunk", lethal)
    monkeypatch.setattr(part_tasks, "_RETRIES", 0)
    counts = _prepare(_rows(uris), tmp_path / "out", images_per_shard=30)
    assert (counts.num_written, counts.quarantined) == (39, {"crash": 1})
    assert [row["uri"] for row in _stored(tmp_path / "out")] == uris


def test_a_photograph_that_a_task_lost_is_an_error(ray_cluster, tmp_path, write_photographs, monkeypatch):
    def lossy(*chunk):
        tally, rows = prepare_chunk(*chunk)
        return tally, rows.filter(pc.not_equal(rows["image_id"], "set/002"))

    monkeypatch.setattr(part_tasks, "prepare_chunk", lossy)
    with pytest.raises(RuntimeError, match="1 of 4 photographs are in no shard and in no quarantine"):
        _prepare(_rows(write_photographs(tmp_path / "photographs", 4)), tmp_path / "out")
    assert not (tmp_path / "out" / "shards" / MANIFEST).exists()
