"""Files appear whole or not at all, and a path and its URI name the same file."""

import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pytest

from raydr import storage


def test_what_is_written_is_read_back_and_its_folder_made(tmp_path):
    target = f"{tmp_path}/a/b/file.bin"
    storage.write_bytes(target, b"\x00content")
    assert storage.read_bytes(target) == b"\x00content"
    assert storage.exists(target)
    assert storage.is_folder(f"{tmp_path}/a")
    assert not storage.is_folder(target)
    assert not storage.exists(f"{tmp_path}/nothing")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    target = tmp_path / "file.bin"
    storage.write_bytes(str(target), b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="No space"):
        storage.write_bytes(str(target), b"new, longer")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_no_reader_ever_sees_half_a_file(tmp_path, monkeypatch):
    """The content stands on the disk in full before the name points to it."""
    seen = []
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda self, target: (seen.append(self.read_bytes()), replace(self, target))[1]
    )
    storage.write_bytes(f"{tmp_path}/file.bin", b"x" * 100_000)
    assert seen == [b"x" * 100_000]


def test_a_table_comes_back_equal_and_by_column(tmp_path):
    table = pa.table({"name": ["a", None], "grade": pa.array([1, None], pa.int8())})
    storage.write_table(f"{tmp_path}/t.parquet", table)
    assert storage.read_table(f"{tmp_path}/t.parquet").equals(table)
    assert storage.read_table(f"{tmp_path}/t.parquet", columns=["grade"]).column_names == ["grade"]


def test_listing_is_sorted_with_sizes_and_without_folders(tmp_path):
    for name, content in (("b.txt", b"12"), ("a/c.txt", b"123"), ("a/d/e.txt", b"")):
        storage.write_bytes(f"{tmp_path}/{name}", content)
    found = storage.list_files(str(tmp_path))
    assert [(uri, size) for uri, size, _ in found] == [
        (f"{tmp_path}/a/c.txt", 3),
        (f"{tmp_path}/a/d/e.txt", 0),
        (f"{tmp_path}/b.txt", 2),
    ]
    assert all(time == Path(uri).stat().st_mtime_ns for uri, _, time in found)
    assert [uri for uri, _, _ in storage.list_files(f"{tmp_path}/", recursive=False)] == [f"{tmp_path}/b.txt"]


def test_listing_keeps_the_scheme_it_was_asked_with(tmp_path):
    storage.write_bytes(f"{tmp_path}/a b/ü#1%20.txt", b"x")
    [(uri, _, _)] = storage.list_files(str(tmp_path))
    assert storage.read_bytes(uri) == b"x"
    storage.write_bytes(f"{tmp_path}/plain/c.txt", b"y")
    [(uri, _, _)] = storage.list_files(f"file://{tmp_path}/plain")
    assert uri == f"file://{tmp_path}/plain/c.txt"
    assert storage.read_bytes(uri) == b"y"


def test_a_relative_path_is_made_absolute_and_a_uri_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage.absolute("runs/x") == f"{Path.cwd()}/runs/x"
    assert storage.absolute("s3://bucket/x") == "s3://bucket/x"
    assert storage.absolute("~/x") == str(Path("~/x").expanduser())


def test_an_absolute_path_has_no_steps_up_and_keeps_a_link_that_was_named(tmp_path, monkeypatch):
    for name in ("work", "far/away", "shared"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "work/link").symlink_to(tmp_path / "far/away")
    (tmp_path / "data").symlink_to(tmp_path / "shared")
    monkeypatch.chdir(tmp_path / "work")
    assert storage.absolute("../shared/x") == f"{tmp_path}/shared/x"
    assert storage.absolute("../data/x") == f"{tmp_path}/data/x"
    assert storage.absolute("link/x") == f"{tmp_path}/work/link/x"
    assert storage.absolute("link/../x") == f"{tmp_path}/far/x"  # where opening it leads


def test_joining_makes_one_slash():
    assert storage.join("s3://bucket/a/", "b", "c.txt") == "s3://bucket/a/b/c.txt"
    assert storage.join("/a", "b") == "/a/b"


@pytest.mark.parametrize(
    ("uri", "local"), [("a/b", True), ("/a", True), ("file:///a", True), ("s3://a/b", False), ("gs://a", False)]
)
def test_which_uris_are_local(uri, local):
    assert storage.is_local(uri) == local


def test_the_digest_is_sha_256_of_the_content(tmp_path):
    content = bytes(range(256)) * 10_000
    storage.write_bytes(f"{tmp_path}/x", content)
    assert storage.digest_file(f"{tmp_path}/x") == hashlib.sha256(content).hexdigest()


def test_deleting_a_file_or_a_folder_that_may_not_be_there(tmp_path):
    storage.write_bytes(f"{tmp_path}/to/a/x", b"1")
    storage.write_bytes(f"{tmp_path}/to/y", b"1")
    storage.delete_file(f"{tmp_path}/to/y")
    assert not storage.exists(f"{tmp_path}/to/y")
    storage.delete_file(f"{tmp_path}/to/y")
    storage.delete_file(f"{tmp_path}/to/a")  # a folder is no file
    assert storage.exists(f"{tmp_path}/to/a/x")
    storage.delete_folder(f"{tmp_path}/to")
    assert not storage.exists(f"{tmp_path}/to")
    storage.delete_folder(f"{tmp_path}/to")


def test_the_entries_of_a_folder_are_its_own_files_and_folders_and_none_where_it_is_not_there(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "a.txt").write_text("a")
    assert storage.list_entries(str(tmp_path)) == [f"{tmp_path}/a.txt", f"{tmp_path}/b"]
    assert storage.list_entries(str(tmp_path / "none")) == []


def test_what_a_killed_writer_left_is_deleted_and_nothing_else(tmp_path, monkeypatch):
    class Killed(BaseException): ...

    def die(_descriptor):
        raise Killed

    (tmp_path / ".hidden.jpeg").touch()
    storage.write_bytes(f"{tmp_path}/whole", b"1")
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", die)
        patch.setattr("pathlib.Path.unlink", lambda *_args, **_kwargs: None)  # a killed process tidies nothing up
        with pytest.raises(Killed):
            storage.write_bytes(f"{tmp_path}/whole", b"2")
    assert len(list(tmp_path.iterdir())) == 3
    storage.delete_unfinished(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden.jpeg", "whole"]
    assert storage.read_bytes(f"{tmp_path}/whole") == b"1"
    storage.delete_unfinished(f"{tmp_path}/missing")
