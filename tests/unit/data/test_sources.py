"""A folder and a label file become manifest rows; every odd row is one line that names file, line and column."""

from pathlib import Path

import pytest

from raydr.data.layouts.csv_file import Columns, CsvFile
from raydr.data.layouts.eyepacs import EyePacs
from raydr.data.manifest import SCHEMA
from raydr.data.sources import Source, read_source
from raydr.errors import InputError

CLINIC = Columns(image="file", grade="dr", patient="who", eye="side", split="part")


def folder(root: Path, *names: str) -> str:
    for name in names:
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return str(root / "images")


def text(root: Path, name: str, content: str | bytes) -> str:
    path = root / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.fixture
def images(tmp_path) -> str:
    return folder(tmp_path, "1_left.jpeg", "1_right.jpeg", "2_left.jpeg")


def eyepacs(tmp_path: Path, labels: str | bytes, *, splits: str | None = None, **options: bool) -> Source:
    layout = EyePacs(
        str(tmp_path / "images"),
        text(tmp_path, "labels.csv", labels),
        splits=None if splits is None else text(tmp_path, "split.csv", splits),
        allow_partial=True,
    )
    return Source("kaggle", layout, **options)


def clinic(tmp_path: Path, labels: str, **options: bool) -> Source:
    layout = CsvFile(str(tmp_path / "images"), text(tmp_path, "labels.csv", labels), columns=CLINIC)
    return Source("clinic", layout, **options)


def error_of(source: Source) -> str:
    with pytest.raises(InputError) as caught:
        read_source(source)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_eyepacs_layout_takes_patient_and_eye_from_the_name(tmp_path, images):
    found = read_source(eyepacs(tmp_path, "image,level\n1_left,0\n1_right,3\n2_left,2\n"))
    assert (found.num_dropped, found.num_unlisted) == (0, 0)
    assert found.rows.schema.equals(SCHEMA)
    rows = found.rows.to_pylist()
    assert [row["image_id"] for row in rows] == ["kaggle/1_left", "kaggle/1_right", "kaggle/2_left"]
    assert [(row["patient_id"], row["eye"], row["grade"]) for row in rows] == [
        ("1", "left", 0),
        ("1", "right", 3),
        ("2", "left", 2),
    ]
    assert rows[1]["uri"] == f"{images}/1_right.jpeg"
    assert {row["label_source"] for row in rows} == {"labels.csv"}
    assert {row["split"] for row in rows} == {None}


def test_csv_layout_takes_the_columns_it_is_told(tmp_path):
    folder(tmp_path, "a/x.JPG", "a/y.png")
    rows = read_source(
        clinic(tmp_path, "file,dr,who,side,part\na/x.JPG,4,p1,OD,train\na/y,,p1,L,test\n")
    ).rows.to_pylist()
    assert [(row["image_id"], row["patient_id"], row["eye"], row["grade"], row["split"]) for row in rows] == [
        ("clinic/a/x", "p1", "right", 4, "train"),
        ("clinic/a/y", "p1", "left", None, "test"),
    ]
    assert [row["label_source"] for row in rows] == ["labels.csv", None]


# The three input cases of the first release.


def test_an_empty_label_file(tmp_path, images):
    message = error_of(eyepacs(tmp_path, ""))
    assert message == f"{tmp_path}/labels.csv: is empty; a header with image, level is needed"


def test_a_label_for_a_missing_image(tmp_path, images):
    message = error_of(eyepacs(tmp_path, "image,level\n1_left,0\n7_left,1\n8_left,1\n"))
    assert message.startswith(f"{tmp_path}/labels.csv: line 3: image: no image '7_left' below {images} (1 more)")
    assert 'missing = "drop"' in message


def test_a_duplicate_row_with_another_grade(tmp_path, images):
    message = error_of(eyepacs(tmp_path, "image,level\n1_left,0\n2_left,1\n1_left,2\n"))
    assert message == f"{tmp_path}/labels.csv: line 4: '1_left': level: is 2 here, but line 2 says 0"


def test_a_duplicate_row_with_another_patient_or_split(tmp_path):
    folder(tmp_path, "x.jpg")
    message = error_of(clinic(tmp_path, "file,dr,who,side,part\nx,0,p1,,\nx,0,p2,,\n"))
    assert message.endswith("line 3: 'x': who: is p2 here, but line 2 says p1")
    message = error_of(clinic(tmp_path, "file,dr,who,side,part\nx,0,p1,,train\nx,0,p1,,test\n"))
    assert message.endswith("line 3: 'x': part: is test here, but line 2 says train")


def test_a_duplicate_row_that_says_the_same_is_one_row(tmp_path, images):
    found = read_source(eyepacs(tmp_path, "image,level\n1_left,0\n1_left.jpeg,0.0\n./1_left,0\n", external=True))
    assert found.rows["image_id"].to_pylist() == ["kaggle/1_left"]


def test_one_image_labelled_by_path_and_by_name_is_one_image(tmp_path):
    folder(tmp_path, "a/1_left.jpeg")
    message = error_of(eyepacs(tmp_path, "image,level\na/1_left,0\n1_left,2\n"))
    assert "line 3" in message
    assert "level" in message


def test_labels_without_an_image_are_left_out_and_counted_when_asked(tmp_path, images):
    found = read_source(
        eyepacs(tmp_path, "image,level\n1_left,0\n7_left,1\n8_left,1\n", drop_missing=True, external=True)
    )
    assert found.num_dropped == 2
    assert found.rows.num_rows == 1


def test_nothing_but_missing_images_is_an_error_even_when_dropped(tmp_path, images):
    assert "no label has an image" in error_of(eyepacs(tmp_path, "image,level\n7_left,0\n", drop_missing=True))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("\n\n", "is empty"),
        ("image,level\n", "has a header but no rows"),
        ("image,level\n , \n", "has a header but no rows"),
        ("image,grade\n1_left,0\n", "level: the column is missing; the file has image, grade"),
        ("image,level,level\n1_left,0,1\n", "level: two columns have this name"),
        ("image,level\n1_left,5\n", "line 2: level: '5' is no grade"),
        ("image,level\n1_left,-1\n", "line 2: level: '-1' is no grade"),
        ("image,level\n1_left,1.5\n", "line 2: level: '1.5' is no grade"),
        ("image,level\n1_left,inf\n", "line 2: level: 'inf' is no grade"),
        ("image,level\n1_left,nan\n", "line 2: level: 'nan' is no grade"),
        ("image,level\n1_left,mild\n", "line 2: level: 'mild' is no grade"),
        ("image,level\nDoe, Jane_left,0\n", "line 2: has 3 cells, the header 2"),
        ('image,level\n1_left,0\n"1_right,0\n', "line 3: not CSV"),
        ("image,level\n,0\n", "line 2: image: '' must be a path below the images folder"),
        ("image,level\n1,0\n", "line 2: image: no image '1' below"),
        (b"\x89PNG\r\n\x1a\n\xff", "not a text file"),
        ("image,level\n1_left,0\n".encode("utf-16"), "not a text file"),
    ],
)
def test_a_malformed_label_file_is_one_line_that_says_where(tmp_path, images, content, part):
    message = error_of(eyepacs(tmp_path, content))
    assert message.startswith(f"{tmp_path}/labels.csv: ")
    assert part in message


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc/passwd", "..\\secret", "..", "."])
def test_a_label_cannot_lead_out_of_the_images_folder(tmp_path, images, name):
    (tmp_path / "secret.jpeg").write_bytes(b"x")
    assert "line 2: image: " in error_of(eyepacs(tmp_path, f"image,level\n{name},0\n"))


def test_a_missing_label_file_or_folder_is_named(tmp_path, images):
    source = Source("kaggle", CsvFile(images, str(tmp_path / "nothing.csv")))
    assert error_of(source).startswith(f"{tmp_path}/nothing.csv: no such file")
    labels = text(tmp_path, "labels.csv", "image,level\n1_left,0\n")
    (tmp_path / "empty").mkdir()
    for folder_uri, part in (
        (str(tmp_path / "nothing"), "is no folder"),
        ("nosuchscheme://x/y", "cannot be listed"),
        (str(tmp_path / "empty"), "no photograph in it"),
    ):
        assert part in error_of(Source("kaggle", EyePacs(folder_uri, labels, allow_partial=True)))


def test_a_name_that_is_not_eyepacs_is_an_error_only_where_it_is_labelled(tmp_path):
    folder(tmp_path, "1_left.jpeg", "sheet.png")
    assert "line 2: 'sheet' is not named <patient>_left" in error_of(eyepacs(tmp_path, "image,level\nsheet,0\n"))
    rows = read_source(eyepacs(tmp_path, "image,level\n1_left,0\n")).rows.to_pylist()
    assert [(row["image_id"], row["patient_id"]) for row in rows] == [("kaggle/1_left", "1"), ("kaggle/sheet", None)]


def test_images_that_no_label_names_come_without_a_grade_but_not_from_an_external_set(tmp_path, images):
    labels = "image,level\n1_left,0\n"
    rows = read_source(eyepacs(tmp_path, labels)).rows.to_pylist()
    assert [(row["image_id"], row["patient_id"], row["grade"], row["label_source"]) for row in rows] == [
        ("kaggle/1_left", "1", 0, "labels.csv"),
        ("kaggle/1_right", "1", None, None),
        ("kaggle/2_left", "2", None, None),
    ]
    external = read_source(eyepacs(tmp_path, labels, external=True)).rows.to_pylist()
    assert [(row["image_id"], row["split"]) for row in external] == [("kaggle/1_left", "external")]


def test_a_split_file_gives_the_splits(tmp_path, images):
    splits = "image,split\n1_left,train\n1_right,train\n2_left.jpeg,test\n99_left,test\n"
    rows = read_source(eyepacs(tmp_path, "image,level\n1_left,0\n2_left,1\n", splits=splits)).rows.to_pylist()
    assert {row["image_id"]: row["split"] for row in rows} == {
        "kaggle/1_left": "train",
        "kaggle/2_left": "test",
        "kaggle/1_right": "train",
    }


@pytest.mark.parametrize(
    ("splits", "part"),
    [
        ("image,split\n1_left,train\n", "split.csv: image: '2_left' is labelled but has no split"),
        ("image,split\n1_left,Training\n", "split.csv: line 2: split: 'Training'; allowed: train, val, test"),
        ("image,split\n1_left,train\n1_left,test\n", "split.csv: line 3: split: '1_left' is in test, but an earlier"),
        ("image\n1_left\n", "split.csv: split: the column is missing"),
    ],
)
def test_a_bad_split_file_is_one_line_that_says_where(tmp_path, images, splits, part):
    assert part in error_of(eyepacs(tmp_path, "image,level\n1_left,0\n2_left,1\n", splits=splits))


def test_a_split_column_is_checked_and_must_be_there(tmp_path):
    folder(tmp_path, "x.jpg")
    assert "line 2: part: 'external'; allowed" in error_of(clinic(tmp_path, "file,dr,who,side,part\nx,0,p,,external\n"))
    assert "part: the column is missing" in error_of(clinic(tmp_path, "file,dr,who,side\nx,0,p,\n"))
    assert "side: the column is missing" in error_of(clinic(tmp_path, "file,dr,who,part\nx,0,p,\n"))


def test_a_byte_order_mark_blanks_and_blank_lines_do_no_harm(tmp_path, images):
    content = "\ufeffimage , level\r\n\r\n 1_left , 2 \r\n".encode()
    rows = read_source(eyepacs(tmp_path, content, external=True)).rows.to_pylist()
    assert [(row["image_id"], row["grade"]) for row in rows] == [("kaggle/1_left", 2)]


def test_a_name_finds_its_image_in_a_subfolder_unless_it_is_in_two(tmp_path):
    folder(tmp_path, "a/1_left.jpeg", "a/2_left.jpeg", "b/2_left.jpeg")
    rows = read_source(eyepacs(tmp_path, "image,level\n1_left,0\n", external=True)).rows.to_pylist()
    assert [row["image_id"] for row in rows] == ["kaggle/a/1_left"]
    message = error_of(eyepacs(tmp_path, "image,level\n2_left,0\n"))
    assert "line 2: image: '2_left' stands in two folders (a/2_left, b/2_left)" in message


def test_photographs_of_an_own_layout_that_no_row_names_are_counted_where_patients_are_named(tmp_path, images):
    found = read_source(clinic(tmp_path, "file,dr,who,side,part\n1_left,0,p1,left,\n1_right,,p1,right,\n"))
    assert found.num_unlisted == 1, "2_left is nobody's"
    assert found.rows["grade"].to_pylist() == [0, None], "a row without a grade takes one in"
