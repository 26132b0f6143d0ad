"""Against a real S3 server: what the storage promises, and what a server that goes away costs (nothing)."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from raydr import cli, storage
from raydr.data.blocks import DecodeRoom
from raydr.data.ingest import prepare_shards
from raydr.data.prepared import Recipe
from raydr.data.streams import collect_pool, stream_originals, stream_shards
from raydr.images.preprocess import Preprocess
from raydr.storage import patience

pytestmark = pytest.mark.ray
NUM_KEYS = 10_000


def test_what_is_written_is_read_back_small_large_and_empty(object_store):
    for name, content in (("small", b"\x00content"), ("large", os.urandom(11 * 2**20)), ("empty", b"")):
        uri = f"{object_store.uri}/written/deep/{name}"
        storage.write_bytes(uri, content)
        assert storage.read_bytes(uri) == content
        assert storage.exists(uri)
        assert not storage.is_folder(uri)
    assert storage.is_folder(f"{object_store.uri}/written")
    assert storage.is_folder(f"{object_store.uri}/written/deep/")
    assert not storage.exists(f"{object_store.uri}/written/de")
    table = pa.table({"name": ["a", None], "grade": pa.array([1, None], pa.int8())})
    storage.write_table(f"{object_store.uri}/written/t.parquet", table)
    assert storage.read_table(f"{object_store.uri}/written/t.parquet", columns=["grade"]).equals(
        table.select(["grade"])
    )


def test_writing_leaves_no_object_but_the_one_named(object_store):
    """No markers of folders, which stores do not need and for which a writer may have no permission."""
    storage.write_bytes(f"{object_store.uri}/plain/a/b.txt", b"1")
    listed = pafs.FileSelector("retina/plain", recursive=True)
    found = storage.locate(object_store.uri)[0].get_file_info(listed)
    assert [info.path for info in found if info.type == pafs.FileType.File] == ["retina/plain/a/b.txt"]


def test_keys_with_odd_characters_come_back_as_they_are(object_store):
    name = "a b/ü#1?%20+=&.txt"
    storage.write_bytes(f"{object_store.uri}/odd/{name}", b"x")
    [(uri, size, _)] = storage.list_files(f"{object_store.uri}/odd")
    assert uri == f"{object_store.uri}/odd/{name}"
    assert size == 1
    assert storage.read_bytes(uri) == b"x"


def test_files_and_folders_are_deleted_and_absent_ones_are_no_error(object_store):
    for name in ("x", "a/y", "a/z"):
        storage.write_bytes(f"{object_store.uri}/gone/{name}", b"1")
    storage.delete_file(f"{object_store.uri}/gone/x")
    assert not storage.exists(f"{object_store.uri}/gone/x")
    storage.delete_file(f"{object_store.uri}/gone/x")
    storage.delete_file(f"{object_store.uri}/gone/a")  # a folder is no file
    assert storage.exists(f"{object_store.uri}/gone/a/y")
    storage.delete_folder(f"{object_store.uri}/gone")
    assert not storage.exists(f"{object_store.uri}/gone/a/y")
    storage.delete_folder(f"{object_store.uri}/gone")
    storage.delete_folder(f"{object_store.uri}/never")


def test_ten_thousand_keys_are_listed_whole_sorted_and_in_seconds(object_store):
    folder = f"{object_store.uri}/many"
    names = [f"{number // 1000}/{number:05d}.jpeg" for number in range(NUM_KEYS)]

    def content_of(name: str) -> bytes:
        return name.encode() if name.endswith("7.jpeg") else b""  # the server is slow to keep bytes

    with ThreadPoolExecutor(16) as writers:
        list(writers.map(lambda name: storage.write_bytes(f"{folder}/{name}", content_of(name)), names))
    started = time.perf_counter()
    found = storage.list_files(folder)
    seconds = time.perf_counter() - started
    assert [(uri, size) for uri, size, _ in found] == [(f"{folder}/{name}", len(content_of(name))) for name in names]
    assert all(changed is not None for _, _, changed in found)
    assert seconds < 10
    assert storage.list_files(folder, recursive=False) == []
    assert len(storage.list_files(f"{folder}/3")) == 1000


def test_a_write_that_fails_leaves_the_old_object(object_store, monkeypatch):
    sizes = {f"{object_store.uri}/whole/{size}": size for size in (1000, 11 * 2**20)}
    for uri in sizes:
        storage.write_bytes(uri, b"old")
    object_store.kill()
    try:
        with monkeypatch.context() as hurried:
            hurried.setattr(patience, "PATIENCE_S", 0.0)
            for uri, size in sizes.items():
                with pytest.raises(storage.UnavailableError, match=r"does not answer .*curlCode"):
                    storage.write_bytes(uri, b"n" * size)
    finally:
        object_store.start()
        object_store.wait()
    assert [storage.read_bytes(uri) for uri in sizes] == [b"old"] * 2


def test_a_server_that_is_killed_and_comes_back_costs_no_read_and_no_write(object_store):
    folder = f"{object_store.uri}/lasting"
    contents = {f"{folder}/{number}": os.urandom(20_000) for number in range(8)}
    for uri, content in contents.items():
        storage.write_bytes(uri, content)
    done, outage = threading.Event(), threading.Thread(target=_kill_and_restart, args=(object_store, 2.0))
    rounds = []

    def go_on(uri: str) -> None:
        while not done.is_set():
            assert storage.read_bytes(uri) == contents[uri]
            storage.write_bytes(f"{uri}.copy", contents[uri])
            assert len(storage.list_files(folder)) >= len(contents)
            rounds.append(time.monotonic())

    with ThreadPoolExecutor(len(contents)) as pool:
        futures = [pool.submit(go_on, uri) for uri in contents]
        time.sleep(0.5)
        outage.start()
        outage.join()
        back = time.monotonic()
        while not any(found > back + 1 for found in rounds) and not any(future.done() for future in futures):
            time.sleep(0.1)
        done.set()
        for future in futures:
            future.result()
    assert all(storage.read_bytes(f"{uri}.copy") == content for uri, content in contents.items())


def test_a_server_that_accepts_and_is_mute_is_waited_for(object_store):
    uri = f"{object_store.uri}/mute"
    storage.write_bytes(uri, b"x")
    object_store.hold()
    threading.Timer(3.0, object_store.go_on).start()
    started = time.monotonic()
    assert storage.read_bytes(uri) == b"x"
    assert time.monotonic() - started > 2


def _kill_and_restart(object_store, away_s):
    object_store.kill()
    time.sleep(away_s)
    object_store.start()
    object_store.wait()


@pytest.fixture
def as_reader(object_store, monkeypatch):
    """The store with the variables of somebody who may only read."""
    for name, value in object_store.read_only.items():
        monkeypatch.setenv(name, value)
    return object_store


def test_who_may_only_read_reads_and_is_told_that_writing_is_refused(object_store, as_reader, monkeypatch):
    with pytest.raises(storage.DeniedError, match="refuses access"):
        storage.write_bytes(f"{object_store.uri}/forbidden", b"x")
    assert not storage.exists(f"{object_store.uri}/forbidden")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(storage.DeniedError, match="check credentials"):
        storage.list_files(object_store.uri)


INDEX = """
job = "index"
out = "{out}"
[sources.clinic]
layout = "eyepacs"
images = "{images}"
labels = "{labels}"
[tracking]
enabled = false
"""


def _index(tmp_path, capsys, **uris):
    """Exit status and stderr of `raydr index`."""
    (tmp_path / "index.toml").write_text(INDEX.format(**uris))
    status = cli.main(["index", "--config", str(tmp_path / "index.toml")])
    return status, capsys.readouterr().err


@pytest.fixture
def clinic(object_store):
    """URIs of a small dataset and of a place for results."""
    folder = f"{object_store.uri}/clinic"
    storage.write_bytes(f"{folder}/images/1_left.jpeg", b"1")
    storage.write_bytes(f"{folder}/labels.csv", b"image,level\n1_left,0\n")
    return {"out": f"{folder}/out", "images": f"{folder}/images", "labels": f"{folder}/labels.csv"}


@pytest.mark.parametrize(
    ("key", "uri", "said"),
    [
        ("images", "s3://no-such-bucket/images", "does not exist; there is no such bucket"),
        ("labels", "s3://retina/clinic/none.csv", "does not exist"),
        ("out", "s3://no-such-bucket/out", "no such bucket"),
    ],
)
def test_what_is_not_there_is_one_line_with_the_uri_and_status_2(tmp_path, capsys, clinic, key, uri, said):
    status, error = _index(tmp_path, capsys, **{**clinic, key: uri})
    assert status == 2
    assert error.startswith("raydr: ")
    assert error.count("\n") == 1
    assert uri in error
    assert said in error


def test_wrong_credentials_are_one_line_with_the_uri_and_status_2(tmp_path, capsys, clinic, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    status, error = _index(tmp_path, capsys, **clinic)
    assert status == 2
    assert error.startswith(f"raydr: {clinic['labels']}: ")
    assert error.count("\n") == 1
    assert "refuses access" in error
    assert "wrong" not in error


def test_an_endpoint_where_nobody_is_becomes_one_line_after_the_wait(tmp_path, capsys, clinic, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(patience, "PATIENCE_S", 1.0)
    status, error = _index(tmp_path, capsys, **clinic)
    assert status == 2
    assert f"raydr: {clinic['labels']}: " in error
    assert "does not answer" in error
    assert "Traceback" not in error


CANVAS = Preprocess(side_px=48)


@pytest.fixture
def photographs(object_store, tmp_path, write_photographs):
    """Manifest rows of photographs in the object store."""
    uris = []
    for path in map(Path, write_photographs(tmp_path / "photographs", 48)):
        uris.append(f"{object_store.uri}/photographs/{path.name}")
        storage.write_bytes(uris[-1], path.read_bytes())
    return pa.table({"image_id": [uri.rpartition("/")[2] for uri in uris], "uri": uris})


def test_a_server_that_goes_away_while_preparing_costs_no_photograph(ray_cluster, object_store, photographs):
    out = f"{object_store.uri}/prepared"
    repeated = pa.concat_tables([photographs.select(["uri"])] * 40)
    rows = repeated.append_column("image_id", pa.array([f"set/{number}" for number in range(repeated.num_rows)]))
    seen = {}

    def strike() -> None:
        deadline = time.monotonic() + 60
        while not any("/part-00001-" in uri for uri in _listed(out)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        _kill_and_restart(object_store, 1.0)
        seen["parts_before"] = sum(uri.endswith(".rows") for uri in _listed(out))

    with ThreadPoolExecutor(1) as thread:
        striking = thread.submit(strike)
        counts = prepare_shards(rows, out=out, recipe=Recipe(CANVAS, 90), images_per_shard=48, decode_cpus=1.0)
        striking.result()
    assert seen["parts_before"] < 40
    assert (counts.num_written, dict(counts.quarantined)) == (rows.num_rows, {})
    written = [uri for uri in _listed(f"{out}/shards") if uri.endswith(".parquet")]
    ids = [name for uri in written for name in storage.read_table(uri, columns=["image_id"])["image_id"].to_pylist()]
    assert sorted(ids) == sorted(rows["image_id"].to_pylist())

    wanted = pa.table({"row": pa.array([3, 1500]), "grade": pa.array([0, 1]), "image_id": ["set/3", "set/1500"]})
    pool = collect_pool(stream_shards(f"{out}/shards", wanted, preprocess=CANVAS, room=DecodeRoom()), side_px=48)
    assert pool.row.tolist() == [3, 1500]
    from_originals = pa.table({"row": pa.array([3]), "grade": pa.array([0]), "uri": [rows["uri"][3].as_py()]})
    direct = collect_pool(stream_originals(from_originals, preprocess=CANVAS, room=DecodeRoom()), side_px=48)
    assert np.abs(pool.image[0].astype(int) - direct.image[0].astype(int)).mean() < 3  # but for the shard's JPEG


def _listed(folder):
    try:
        return [uri for uri, _, _ in storage.list_files(folder)]
    except FileNotFoundError:
        return []
