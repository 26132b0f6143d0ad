"""Messidor-2: grades of images with pairs of eyes, or exams whose reference standard is not a grade."""

import pytest

from raydr.data.layouts.messidor2 import Messidor2
from raydr.data.sources import EXAMS_SCHEMA, Source, read_source

COLUMNS = "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable"
GRADES = "a_PP.png,0,0,1\nb_PP.png,2,1,1\nIM000149.jpg,,,0\nIM000150.JPG,3.0,0,1\n"
FILES = {
    "IMAGES/a_PP.png": "",
    "IMAGES/b_PP.png": "",
    "IMAGES/IM000149.JPG": "",
    "IMAGES/IM000150.JPG": "",
    "messidor_data.csv": f"{COLUMNS}\n{GRADES}",
    "messidor-2.csv": "left;right\na_PP.png;b_PP.png\nIM000150.jpg;IM000149.jpg\n",
}
EXAMS = {
    "IMAGES/IM0001.000.jpg": "",
    "IMAGES/IM0001.001.jpg": "",
    "IMAGES/IM0002.000.jpg": "",
    "IMAGES/IM0002.001.jpg": "",
    "exams.csv": "examid,rDR\r\nIM0001,0\r\nIM0002,1\r\n",
}


def layout(root, **options):
    return Messidor2(
        images=f"{root}/IMAGES",
        labels=f"{root}/messidor_data.csv",
        pairs=f"{root}/messidor-2.csv",
        exams=f"{root}/exams.csv",
        **{"allow_partial": True, **options},
    )


@pytest.mark.parametrize("columns", [COLUMNS, "id_code,diagnosis,adjudicated_dme,adjudicated_gradable"])
def test_grades_under_either_name_and_the_two_eyes_of_an_exam(tree, rows_of, columns):
    """Suffixes differ in case between the label file, the pairs and the images; ungradable rows are empty."""
    rows = rows_of(layout(tree({**FILES, "messidor_data.csv": f"{columns}\n{GRADES}"})))
    keys = ("exam_id", "patient_id", "eye", "grade", "dme", "gradable")
    assert {name: tuple(row[key] for key in keys) for name, row in rows.items()} == {
        "data/a_PP": ("a_PP", "a_PP", "left", 0, 0, True),
        "data/b_PP": ("a_PP", "a_PP", "right", 2, 1, True),
        "data/IM000149": ("IM000150", "IM000150", "right", None, None, False),
        "data/IM000150": ("IM000150", "IM000150", "left", 3, 0, True),
    }
    assert {row["label_source"] for row in rows.values()} == {"messidor_data.csv"}


def test_exams_are_a_table_of_their_own_and_no_grade_is_made_up(tree, rows_of):
    source = Source("data", layout(tree(EXAMS), label_source="exams"), external=True)
    found = read_source(source)
    keys = ("exam_id", "patient_id", "grade", "label_source", "split")
    assert {row["image_id"]: tuple(row[key] for key in keys) for row in found.rows.to_pylist()} == {
        "data/IM0001.000": ("IM0001", "IM0001", None, "exams.csv", "external"),
        "data/IM0001.001": ("IM0001", "IM0001", None, "exams.csv", "external"),
        "data/IM0002.000": ("IM0002", "IM0002", None, "exams.csv", "external"),
        "data/IM0002.001": ("IM0002", "IM0002", None, "exams.csv", "external"),
    }
    assert found.exams.schema.equals(EXAMS_SCHEMA)
    assert found.exams.to_pylist() == [
        {"dataset": "data", "exam_id": "IM0001", "referable": False},
        {"dataset": "data", "exam_id": "IM0002", "referable": True},
    ]


def test_an_exam_without_images_is_a_label_without_its_image(tree, error_of):
    root = tree({**EXAMS, "exams.csv": "examid,rDR\nIM0001,0\nIM0003,1\n"})
    exams = layout(root, label_source="exams")
    assert f"{root}/exams.csv: line 3: examid: no image 'IM0003' below {root}/IMAGES" in error_of(exams)
    found = read_source(Source("data", exams, drop_missing=True))
    assert (found.num_dropped, found.exams["exam_id"].to_pylist()) == (1, ["IM0001"])


def test_counts_are_the_published_ones(tree, error_of):
    root = tree({**FILES, "exams.csv": EXAMS["exams.csv"]})
    message = error_of(layout(root, allow_partial=False))
    assert message.startswith(f"{root}/messidor-2.csv: expected 874 pairs of images, found 2; complete the download")
    message = error_of(layout(root, allow_partial=False, label_source="exams"))
    assert message.startswith(f"{root}/exams.csv: rDR: expected 874 exams, found 2; complete the download")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"messidor-2.csv": "left;right\na_PP.png\n"}, "messidor-2.csv: line 2: is no pair of images, left;right"),
        ({"messidor-2.csv": "a;b\nb;c\n"}, "messidor-2.csv: line 2: left: 'b' is in an earlier pair already"),
        ({"messidor-2.csv": "../a;b\n"}, "messidor-2.csv: line 1: left: '../a' must be a path below the images folder"),
        (
            {"messidor_data.csv": f"{COLUMNS}\na_PP.png,2,0,0\n"},
            "messidor_data.csv: line 2: adjudicated_dr_grade: an ungradable image has no grade (got 2)",
        ),
        (
            {"messidor_data.csv": "image,grade\na,0\n"},
            "messidor_data.csv: image_id: the column is missing; the file has image, grade",
        ),
        ({"messidor_data.csv": ""}, "messidor_data.csv: is empty"),
    ],
)
def test_odd_files_are_one_line_that_says_where(tree, error_of, files, message):
    root = tree(FILES)
    for name, content in files.items():
        (root / name).write_text(content)
    assert error_of(layout(root)).startswith(f"{root}/{message}")


def test_an_exam_both_referable_and_not_is_an_error(tree, error_of):
    root = tree({**EXAMS, "exams.csv": "examid,rDR\nIM0001,0\nIM0001,1\n"})
    assert "line 3: rDR: 'IM0001' is 1 here" in error_of(layout(root, label_source="exams"))


def test_only_the_files_of_the_chosen_standard_are_read(tree):
    root = tree(FILES)
    assert set(layout(root).inputs()) == {"labels", "pairs", "images"}
    assert set(layout(root, label_source="exams").inputs()) == {"exams", "images"}
