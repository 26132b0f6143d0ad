"""The manifest reads back as written, and a table that is not one is refused by name."""

import numpy as np
import pyarrow as pa
import pytest

from raydr import storage
from raydr.data.manifest import (
    SCHEMA,
    fellows_of,
    grades_of,
    patients_of,
    read_manifest,
    rows_of_images,
    rows_where,
    summary,
)
from raydr.errors import InputError


@pytest.fixture
def manifest() -> pa.Table:
    rows = [
        {"image_id": "a/1", "dataset": "a", "patient_id": "p", "grade": 0, "split": "train"},
        {"image_id": "a/2", "dataset": "a", "patient_id": "p", "grade": 3, "split": "train"},
        {"image_id": "a/3", "dataset": "a", "patient_id": None, "grade": None, "split": None},
        {"image_id": "b/1", "dataset": "b", "patient_id": "p", "grade": 2, "split": "external"},
    ]
    return pa.Table.from_pylist([{**row, "uri": f"/{row['image_id']}.jpg"} for row in rows], schema=SCHEMA)


def replaced(manifest: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return manifest.set_column(manifest.column_names.index(name), name, values)


def error_of(path: str, table: pa.Table) -> str:
    storage.write_table(path, table)
    with pytest.raises(InputError) as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_it_reads_back_as_written_whatever_the_order_of_columns(tmp_path, manifest):
    path = f"{tmp_path}/m.parquet"
    storage.write_table(path, manifest.select(manifest.column_names[::-1]).append_column("note", pa.array(["x"] * 4)))
    assert read_manifest(path).equals(manifest)


def test_wider_types_are_taken(tmp_path, manifest):
    path = f"{tmp_path}/m.parquet"
    storage.write_table(path, replaced(manifest, "grade", manifest["grade"].cast(pa.int64())))
    assert read_manifest(path).schema.equals(SCHEMA)


def test_what_is_no_manifest_is_refused_by_name(tmp_path, manifest):
    path = f"{tmp_path}/m.parquet"
    with pytest.raises(InputError, match="cannot be read as a manifest"):
        read_manifest(path)
    storage.write_bytes(path, b"image,level\n")
    with pytest.raises(InputError, match="cannot be read as a manifest"):
        read_manifest(path)
    assert "eye: the column is missing" in error_of(path, manifest.drop_columns(["eye"]))
    assert "grade: is not int8" in error_of(path, replaced(manifest, "grade", pa.array(["a", "b", "c", "d"])))
    assert "grade: 5; allowed: 0, 1, 2, 3, 4" in error_of(path, replaced(manifest, "grade", pa.array([0, 5, None, 1])))
    assert "split: 'holdout'; allowed" in error_of(
        path, replaced(manifest, "split", pa.array(["train", "holdout", None, None]))
    )
    assert "'a/1' stands in more than one row" in error_of(path, pa.concat_tables([manifest, manifest]))
    assert "uri: is null in 1 rows" in error_of(path, replaced(manifest, "uri", pa.array(["/x", None, "/y", "/z"])))


@pytest.mark.parametrize(
    "uri",
    [
        "../../etc/passwd",
        "photographs/a.jpeg",
        "~/a.jpeg",
        "",
        "/data/../etc/passwd",
        "/data/photographs/..",
        "/data/./a.jpeg",
        "file:///data/../etc/passwd",
        "s3://mine/../theirs/a.jpeg",
        "s3://mine/a/..",
        "://etc/passwd",
    ],
)
def test_a_photograph_that_is_not_where_its_name_begins_is_refused(tmp_path, manifest, uri):
    path = str(tmp_path / "manifest.parquet")
    changed = replaced(manifest, "uri", pa.array(["/x", "s3://b/..a/b..", uri, "/z..jpeg"]))
    assert f"manifest.parquet: uri: {uri!r}; allowed: an absolute path or a URI" in error_of(path, changed)


def test_an_absolute_path_and_a_uri_of_any_store_name_a_photograph(tmp_path, manifest):
    path, uris = str(tmp_path / "manifest.parquet"), ["/..a/b..", "file:///a b/c", "s3://b/...", "hdfs+x://h:1/a"]
    storage.write_table(path, replaced(manifest, "uri", pa.array(uris)))
    assert read_manifest(path)["uri"].to_pylist() == uris


def test_rows_of_a_split_and_a_dataset(manifest):
    np.testing.assert_array_equal(rows_where(manifest, split="train"), [0, 1])
    np.testing.assert_array_equal(rows_where(manifest, split="external", dataset="b"), [3])
    assert rows_where(manifest, split="external", dataset="a").size == 0


def test_an_unknown_grade_is_minus_one(manifest):
    found = grades_of(manifest)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, [0, 3, -1, 2])


def test_patients_of_two_datasets_are_two_and_an_unknown_one_is_alone(manifest):
    found = patients_of(manifest).tolist()
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_images_are_found_by_id_in_the_order_asked(manifest):
    np.testing.assert_array_equal(rows_of_images(manifest, ["b/1", "a/1"]), [3, 0])
    with pytest.raises(InputError, match=r"'x' is not in the manifest \(1 more\)"):
        rows_of_images(manifest, ["a/1", "x", "y"])
    with pytest.raises(InputError, match=r"'x' is not in the manifest$"):
        rows_of_images(manifest, ["x"])


def test_the_summary_counts_images_patients_and_grades(manifest):
    train, external = summary(manifest)
    assert (train["dataset"], train["split"], train["images"], train["patients"]) == ("a", "train", 2, 1)
    assert [train[f"grade_{grade}"] for grade in range(5)] == [1, 0, 0, 1, 0]
    assert (external["dataset"], external["split"], external["grade_2"]) == ("b", "external", 1)


def eyes(*rows: tuple[str | None, str | None, str | None, str | None]) -> pa.Table:
    """A manifest of (patient, exam, split, eye)."""
    names = ("patient_id", "exam_id", "split", "eye")
    columns = [dict(zip(names, row, strict=True)) for row in rows]
    common = {"dataset": "a", "grade": None}
    return pa.Table.from_pylist(
        [{**common, **row, "image_id": str(n), "uri": f"/{n}"} for n, row in enumerate(columns)], schema=SCHEMA
    )


def test_a_fellow_is_the_other_eye_of_the_same_patient_exam_and_split():
    manifest = eyes(
        ("p", None, "train", "left"),
        ("q", None, "train", "right"),
        ("p", None, "train", "right"),
        ("r", "1", "train", "left"),
        ("r", "2", "train", "right"),  # another exam
        ("s", None, "train", "left"),
        ("s", None, "test", "right"),  # another split
    )
    assert fellows_of(manifest).tolist() == [2, -1, 0, -1, -1, -1, -1]


def test_an_unknown_patient_or_eye_has_no_fellow():
    manifest = eyes((None, None, "train", "left"), (None, None, "train", "right"), *[("p", None, "train", None)] * 2)
    assert fellows_of(manifest).tolist() == [-1] * 4


def test_patients_of_one_name_in_two_datasets_are_no_fellows():
    manifest = eyes(("p", None, "train", "left"), ("p", None, "train", "right"))
    assert fellows_of(replaced(manifest, "dataset", pa.array(["a", "b"]))).tolist() == [-1, -1]


def test_several_images_of_an_eye_take_turns_with_those_of_the_other():
    manifest = eyes(*[("p", "1", "train", eye) for eye in ("left", "left", "left", "right", "right")])
    assert fellows_of(manifest).tolist() == [3, 4, 3, 0, 1]
