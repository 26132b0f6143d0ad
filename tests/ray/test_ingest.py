"""`prepare_shards` loses no photograph: each is in a shard or, with the reason, in quarantine."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raydr.data.ingest import prepare_shards
from raydr.errors import InputError
from raydr.images.jpeg import encode
from raydr.images.preprocess import Preprocess

pytestmark = pytest.mark.ray
CANVAS = Preprocess(side_px=48)


def _rows(uris):
    return pa.table({"image_id": [f"set/{Path(uri).stem}" for uri in uris], "uri": uris})


def _prepare(rows, out, *, images_per_shard=5):
    return prepare_shards(
        rows,
        out=str(out),
        preprocess=CANVAS,
        images_per_shard=images_per_shard,
        jpeg_quality=90,
        decode_cpus=1.0,
    )


def test_broken_files_are_quarantined_with_their_reason_and_cost_no_other(
    ray_cluster, tmp_path, write_photographs, write_broken
):
    good, broken = write_photographs(tmp_path / "good", 12), write_broken(tmp_path / "broken")
    uris = good.copy()
    for number, uri in enumerate(broken.values()):
        uris.insert(3 * number, uri)
    counts = _prepare(_rows(uris), tmp_path / "out")

    assert (counts.num_images, counts.num_written) == (17, 12)
    assert counts.quarantined == dict.fromkeys(sorted(broken), 1)
    quarantine = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()
    assert {row["reason"]: row["uri"] for row in quarantine} == broken
    assert all(row["image_id"] == f"set/{row['reason']}" and row["message"] for row in quarantine)

    parts = sorted((tmp_path / "out" / "shards").glob("*.parquet"))
    assert [part.name for part in parts] == [f"part-{number:05d}.parquet" for number in range(4)]
    stored = [row for part in parts for row in pq.read_table(part).to_pylist()]
    assert [row["image_id"] for row in stored] == [f"set/{Path(uri).stem}" for uri in good]
    for row, uri in zip(stored, good, strict=True):
        assert row["jpeg"] == encode(CANVAS.canvas(Path(uri).read_bytes()), quality=90)
    # A shard is five rows of the manifest less its broken ones.
    is_good = [uri in good for uri in uris]
    assert [pq.read_metadata(part).num_rows for part in parts] == [
        sum(is_good[start : start + 5]) for start in range(0, 17, 5)
    ]


def test_prepare_again_replaces_its_own_shards_and_leaves_nothing_beside_them(ray_cluster, tmp_path, write_photographs):
    uris, out = write_photographs(tmp_path / "photographs", 4), tmp_path / "out"
    _prepare(_rows(uris), out, images_per_shard=1)
    _prepare(_rows(uris[:3]), out, images_per_shard=2)

    assert sorted(path.name for path in out.iterdir()) == ["quarantine.parquet", "shards"]
    names = ["part-00000.parquet", "part-00001.parquet", "preprocess.json"]
    assert sorted(path.name for path in (out / "shards").iterdir()) == names
    assert json.loads((out / "shards" / "preprocess.json").read_text()) == {
        "side_px": 48,
        "crop": True,
        "enhance": "none",
        "max_megapixels": 200.0,
    }
    assert pq.read_table(out / "quarantine.parquet").num_rows == 0


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
