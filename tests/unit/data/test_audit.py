"""What two splits or datasets share is found, every file is read once, and nothing is let pass but by name."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from raydr import storage
from raydr.data.audit import FINDINGS_SCHEMA, TABLE_HEADER, LeakAudit, audit_leaks, check_audit
from raydr.data.manifest import SCHEMA
from raydr.errors import InputError
from raydr.images.jpeg import encode
from raydr.images.phantom import draw_phantom

Row = tuple[str, str | None, str, bytes | None]


def manifest(root: Path, rows: list[Row], *, dataset: str = "a") -> pa.Table:
    """A manifest of (name, patient, split, content); content None leaves the file out."""
    found = []
    for name, patient, split, content in rows:
        path = root / f"{dataset}_{name}.jpeg"
        if content is not None:
            path.write_bytes(content)
        ids = {"image_id": f"{dataset}/{name}", "uri": str(path), "dataset": dataset, "patient_id": patient}
        found.append(ids | {"split": split})
    return pa.Table.from_pylist(found, schema=SCHEMA)


@cache
def photograph(patient: int, eye: str = "left", *, side_px: int = 256, quality: int = 92) -> bytes:
    picture = draw_phantom(patient_seed=patient, eye=eye, grade=2, side_px=256)
    return encode(cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_AREA), quality=quality)


def pairs(audit: LeakAudit, finding: str) -> list[tuple[str, str]]:
    rows = audit.findings.to_pylist()
    return [(row["image_id_a"], row["image_id_b"]) for row in rows if row["finding"] == finding]


def test_clean_splits_have_no_findings(tmp_path):
    rows: list[Row] = [("1", "p", "train", b"1"), ("2", "p", "train", b"2"), ("3", "q", "test", photograph(0))]
    audit = audit_leaks(manifest(tmp_path, [*rows, ("4", None, "val", photograph(1))]))
    assert audit.findings.num_rows == 0
    assert audit.findings.schema.equals(FINDINGS_SCHEMA)
    assert audit.table() == []
    assert (audit.num_unreadable, audit.num_without_picture) == (0, 2)
    check_audit(audit, (), table_uri="audit.parquet")


def test_a_patient_in_several_splits_is_named_once_with_an_image_of_each(tmp_path):
    rows: list[Row] = [(str(k), "p", split, str(k).encode()) for k, split in enumerate(("train", "train", "test"))]
    rows += [("5", "p", "val", b"5"), ("6", "q", "test", b"6")]
    audit = audit_leaks(manifest(tmp_path, rows))
    assert audit.named("shared_patients") == ("a/p",)
    assert audit.count("shared_patients") == 1
    assert pairs(audit, "shared_patients") == [("a/0", "a/2"), ("a/0", "a/5")]


def test_every_identical_file_is_named_with_one_elsewhere(tmp_path):
    rows: list[Row] = [
        ("1", "p", "train", b"same"),
        ("2", "p", "train", b"same"),
        ("3", "q", "test", b"same"),
        ("4", "r", "val", b"same"),
        ("5", "s", "val", b"x"),
    ]
    audit = audit_leaks(manifest(tmp_path, rows))
    assert pairs(audit, "identical_files") == [("a/1", "a/3"), ("a/1", "a/4"), ("a/2", "a/3")]
    assert audit.named("identical_files")[0] == "a/1 = a/3"


def test_identical_files_within_a_split_are_no_leak_but_in_another_dataset_they_are_a_finding(tmp_path):
    rows: list[Row] = [("1", "p", "train", b"x"), ("2", "q", "train", b"x")]
    alone = manifest(tmp_path, rows)
    assert audit_leaks(alone).findings.num_rows == 0
    both = pa.concat_tables([alone, manifest(tmp_path, rows[:1], dataset="b")])
    assert pairs(audit_leaks(both), "identical_files") == [("a/1", "b/1"), ("a/2", "b/1")]


def test_copies_in_another_size_are_found_across_splits_and_datasets_and_once(tmp_path):
    one = manifest(
        tmp_path,
        [
            ("1", "p", "train", photograph(1)),
            ("2", "p", "train", photograph(1, "right")),
            ("3", "q", "test", photograph(2)),
            ("4", "r", "train", photograph(1, side_px=160)),  # of the same split: no leak
            ("5", "s", "val", photograph(2)),  # the same bytes as 3: not said twice
        ],
    )
    other = manifest(tmp_path, [("1", "x", "external", photograph(1, side_px=200, quality=50))], dataset="b")
    other = pa.concat_tables([other, manifest(tmp_path, [("7", "y", "train", photograph(3))], dataset="b")])
    third = manifest(tmp_path, [("9", "z", "train", photograph(3, quality=60))], dataset="c")
    audit = audit_leaks(pa.concat_tables([one, other, third]))
    assert pairs(audit, "near_identical_images") == [("a/1", "b/1"), ("a/4", "b/1"), ("b/7", "c/9")]
    assert pairs(audit, "identical_files") == [("a/3", "a/5")]
    near = [row for row in audit.findings.to_pylist() if row["finding"] == "near_identical_images"]
    assert all(0.75 <= row["similarity"] <= 1 for row in near)
    assert (near[0]["dataset_b"], near[0]["split_b"], near[0]["patient_id"]) == ("b", "external", None)
    assert [row[:4] for row in audit.table()] == [
        ["identical files", "a test", "a val", "1"],
        ["near identical images", "a train", "b external", "2"],
        ["near identical images", "b train", "c train", "1"],
    ]
    assert all(len(row) == len(TABLE_HEADER) for row in audit.table())


def test_the_two_eyes_of_patients_and_different_patients_are_not_near_identical(tmp_path):
    splits = ("train", "val", "test")
    rows: list[Row] = [
        (f"{patient}_{eye}", f"p{patient}", splits[(patient + number) % 3], photograph(patient, eye))
        for patient in range(9)
        for number, eye in enumerate(("left", "right"))
    ]
    audit = audit_leaks(manifest(tmp_path, rows))
    assert audit.num_without_picture == 0
    assert audit.count("near_identical_images") == 0
    assert audit.count("shared_patients") == 9


def test_without_the_search_for_near_identical_images_nothing_is_decoded(tmp_path):
    rows: list[Row] = [("1", "p", "train", photograph(1)), ("2", "q", "test", photograph(1, side_px=160))]
    audit = audit_leaks(manifest(tmp_path, rows), near_identical=False)
    assert audit.findings.num_rows == 0
    assert audit.num_without_picture is None


def test_missing_and_empty_files_are_counted_and_not_taken_for_the_same(tmp_path):
    rows: list[Row] = [
        ("1", "p", "train", b""),
        ("2", "q", "test", b""),
        ("3", "r", "val", None),
        ("4", "s", "test", None),
    ]
    audit = audit_leaks(manifest(tmp_path, rows))
    assert audit.num_unreadable == 4
    assert audit.findings.num_rows == 0


@pytest.mark.parametrize("error", [storage.DeniedError, storage.UnavailableError])
def test_a_store_that_refuses_or_is_away_is_no_clean_audit(tmp_path, monkeypatch, error):
    def refuse(uri: str) -> bytes:
        raise error(13, "refused", uri)

    rows = manifest(tmp_path, [("1", "p", "train", b"1")])
    monkeypatch.setattr(storage, "read_bytes", refuse)
    with pytest.raises(error):
        audit_leaks(rows)


def test_pictures_of_nothing_are_not_taken_for_the_same(tmp_path):
    black = [encode(np.full((300, 300, 3), level, np.uint8)) for level in (0, 1, 2)]
    rows: list[Row] = [(str(k), f"p{k}", split, black[k]) for k, split in enumerate(("train", "val", "test"))]
    audit = audit_leaks(manifest(tmp_path, rows))
    assert audit.findings.num_rows == 0
    assert audit.num_without_picture == 3


def test_every_file_is_read_once(tmp_path, monkeypatch):
    rows: list[Row] = [(str(i), None, "train" if i % 2 else "test", str(i).encode()) for i in range(50)]
    table = manifest(tmp_path, rows)
    read: list[str] = []
    real = storage.read_bytes
    monkeypatch.setattr(storage, "read_bytes", lambda uri: (read.append(uri), real(uri))[1])
    told: list[int] = []
    audit_leaks(table, progress=told.append)
    assert sorted(read) == sorted(table["uri"].to_pylist())
    assert told == list(range(1, 51))


@pytest.mark.parametrize("num_threads", [1, 8])
def test_the_number_of_threads_changes_nothing(tmp_path, num_threads):
    rows: list[Row] = [(str(i), f"p{i // 2}", ("train", "val", "test")[i % 3], str(i % 7).encode()) for i in range(60)]
    table = manifest(tmp_path, rows)
    assert audit_leaks(table, num_threads=num_threads) == audit_leaks(table, num_threads=3)


def leaking(root: Path) -> pa.Table:
    rows: list[Row] = [(f"{k}_{eye}", f"p{k}", "train", f"{k}{eye}".encode()) for k in range(5) for eye in "lr"]
    rows = [(name, patient, "test" if name.endswith("r") else split, data) for name, patient, split, data in rows]
    rows += [("10", "x", "train", photograph(1)), ("11", "y", "test", photograph(1))]
    return manifest(root, [*rows, ("12", "z", "val", photograph(1, side_px=160))])


def test_what_is_found_is_refused_in_one_line_that_says_what_and_how_many_and_what_to_do(tmp_path):
    audit = audit_leaks(leaking(tmp_path))
    with pytest.raises(InputError) as caught:
        check_audit(audit, (), table_uri="out/audit.parquet")
    message = str(caught.value)
    assert "5 patients are in more than one split: a/p0, a/p1, a/p2 and 2 more; give all images" in message
    assert "1 pairs of files in different splits or datasets are identical: a/10 = a/11; remove one of each" in message
    assert "2 pairs of images in different splits or datasets are near-identical: a/10 ~ a/12, a/11 ~ a/12" in message
    assert 'waive = ["shared_patients", "identical_files", "near_identical_images"]' in message
    assert message.endswith("all of them are in out/audit.parquet")
    with pytest.raises(InputError, match=r"or set index\.waive = "):
        check_audit(audit, (), table_uri="out/audit.parquet", key="index.waive")
    assert "\n" not in message


@pytest.mark.parametrize("finding", ["shared_patients", "identical_files", "near_identical_images"])
def test_a_finding_passes_only_where_it_is_waived_by_its_name(tmp_path, finding):
    names = {"shared_patients", "identical_files", "near_identical_images"}
    audit = audit_leaks(leaking(tmp_path))
    check_audit(audit, tuple(names), table_uri="t")
    with pytest.raises(InputError) as caught:
        check_audit(audit, tuple(names - {finding}), table_uri="t")
    first_name = audit.named(finding)[0]
    assert first_name in str(caught.value)
    assert not any(audit.named(other)[0] in str(caught.value) for other in names - {finding})
