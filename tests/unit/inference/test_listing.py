"""What a user can name as photographs."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raydr.errors import InputError
from raydr.inference.listing import list_images


@pytest.fixture
def folder(tmp_path):
    for name in ["b.jpeg", "a.JPG", "notes.txt", "2023/a.JPG", "2023/may/c.png", "2023/x[1].jpeg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def _found(folder, pattern):
    table = list_images(str(folder / pattern))
    assert [uri.rpartition("/")[2] for uri in table["uri"].to_pylist()] == table["image_id"].to_pylist()
    return [uri.removeprefix(f"{folder}/") for uri in table["uri"].to_pylist()]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", ["2023/a.JPG", "2023/may/c.png", "2023/x[1].jpeg", "a.JPG", "b.jpeg"]),
        ("*.jpeg", ["b.jpeg"]),
        ("**/*.JPG", ["2023/a.JPG", "a.JPG"]),
        ("*/*.JPG", ["2023/a.JPG"]),
        ("20??/may/[!ab].png", ["2023/may/c.png"]),
        ("b.jpeg", ["b.jpeg"]),
        ("2023/x[1].jpeg", ["2023/x[1].jpeg"]),  # a file that is there is meant, though it looks like a glob
    ],
)
def test_folder_glob_and_file(folder, pattern, found):
    assert _found(folder, pattern) == found


def test_a_manifest_keeps_its_ids_and_its_order(tmp_path):
    pq.write_table(
        pa.table({"uri": ["/z", "s3://b/a"], "image_id": ["set/1", "set/2"], "grade": [0, 1]}), tmp_path / "m.parquet"
    )
    table = list_images(str(tmp_path / "m.parquet"))
    assert table.to_pydict() == {"image_id": ["set/1", "set/2"], "uri": ["/z", "s3://b/a"]}


def test_a_manifest_does_not_lead_out_of_where_it_seems_to(folder):
    pq.write_table(pa.table({"uri": ["/x/../../etc/passwd"], "image_id": ["a"]}), folder / "leading.parquet")
    with pytest.raises(
        InputError,
        match=r"leading\.parquet: uri: '/x/\.\./\.\./.*; allowed: an absolute path or a URI.*; write absolute paths",
    ):
        list_images(str(folder / "leading.parquet"))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("*.bmp", "no file matches"),
        ("nowhere/*.jpeg", "no file matches"),
        ("nowhere.jpeg", "is not there"),
        ("empty", "no photograph in it"),
        ("[z-a].jpeg", "is no glob"),
        ("torn.parquet", "cannot be read as a manifest"),
        ("other.parquet", "image_id: the column is missing"),
        ("bare.parquet", "has no rows"),
    ],
)
def test_nothing_to_score_is_an_error_that_names_it(folder, pattern, message):
    (folder / "empty").mkdir()
    (folder / "torn.parquet").write_bytes(b"PAR1")
    pq.write_table(pa.table({"uri": ["a"]}), folder / "other.parquet")
    pq.write_table(
        pa.table({"uri": pa.array([], pa.string()), "image_id": pa.array([], pa.string())}), folder / "bare.parquet"
    )
    with pytest.raises(InputError, match=message):
        list_images(str(folder / pattern))
