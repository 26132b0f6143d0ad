"""What two splits share is found, and every file is read once."""

from pathlib import Path

import pyarrow as pa
import pytest

from raydr import storage
from raydr.data.audit import audit_leaks
from raydr.data.manifest import SCHEMA


def manifest(root: Path, rows: list[tuple[str, str | None, str, bytes | None]]) -> pa.Table:
    """A manifest of (name, patient, split, content); content None leaves the file out."""
    found = []
    for name, patient, split, content in rows:
        path = root / f"{name}.jpeg"
        if content is not None:
            path.write_bytes(content)
        ids = {"image_id": f"a/{name}", "uri": str(path), "dataset": "a", "patient_id": patient, "split": split}
        found.append(ids)
    return pa.Table.from_pylist(found, schema=SCHEMA)


def test_clean_splits_have_no_findings(tmp_path):
    rows = [("1", "p", "train", b"1"), ("2", "p", "train", b"2"), ("3", "q", "test", b"3"), ("4", None, "val", b"4")]
    audit = audit_leaks(manifest(tmp_path, rows))
    assert audit.shared_patients == ()
    assert audit.shared_files == ()
    assert audit.num_unreadable == 0


def test_a_patient_in_two_splits_is_named(tmp_path):
    rows = [("1", "p", "train", b"1"), ("2", "p", "test", b"2"), ("3", "q", "test", b"3")]
    assert audit_leaks(manifest(tmp_path, rows)).shared_patients == ("a/p",)


def test_identical_files_in_two_splits_are_named_together(tmp_path):
    rows = [
        ("1", "p", "train", b"same"),
        ("2", "q", "test", b"same"),
        ("3", "r", "val", b"same"),
        ("4", "s", "val", b"x"),
    ]
    assert audit_leaks(manifest(tmp_path, rows)).shared_files == (("a/1", "a/2", "a/3"),)


def test_identical_files_within_a_split_are_no_leak(tmp_path):
    assert audit_leaks(manifest(tmp_path, [("1", "p", "train", b"x"), ("2", "q", "train", b"x")])).shared_files == ()


def test_missing_and_empty_files_are_counted_and_not_taken_for_the_same(tmp_path):
    rows = [("1", "p", "train", b""), ("2", "q", "test", b""), ("3", "r", "val", None), ("4", "s", "test", None)]
    audit = audit_leaks(manifest(tmp_path, rows))
    assert audit.num_unreadable == 4
    assert audit.shared_files == ()


def test_every_file_is_read_once(tmp_path, monkeypatch):
    table = manifest(tmp_path, [(str(i), None, "train" if i % 2 else "test", str(i).encode()) for i in range(50)])
    read: list[str] = []
    real = storage.read_bytes
    monkeypatch.setattr(storage, "read_bytes", lambda uri: (read.append(uri), real(uri))[1])
    audit_leaks(table)
    assert sorted(read) == sorted(table["uri"].to_pylist())


@pytest.mark.parametrize("num_threads", [1, 8])
def test_the_number_of_threads_changes_nothing(tmp_path, num_threads):
    rows = [(str(i), f"p{i // 2}", ("train", "val", "test")[i % 3], str(i % 7).encode()) for i in range(60)]
    table = manifest(tmp_path, rows)
    assert audit_leaks(table, num_threads=num_threads) == audit_leaks(table, num_threads=3)
