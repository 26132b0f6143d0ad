"""DeepDRiD: backslash paths, the eye from the column and not from the name, a workbook for the evaluation part."""

import io

import openpyxl
import pytest

from raydr.data.layouts.deepdrid import DeepDrid

BASE = "regular_fundus_images"
TRAINING = f"{BASE}/regular-fundus-training/regular-fundus-training.csv"
VALIDATION = f"{BASE}/regular-fundus-validation/regular-fundus-validation.csv"
EVALUATION = f"{BASE}/Online-Challenge1&2-Evaluation/Challenge1_labels.xlsx"
HEADER = (
    "patient_id,image_id,image_path,Overall quality,left_eye_DR_Level,right_eye_DR_Level,patient_DR_Level,"
    "Clarity,Field definition,Artifact\n"
)


def workbook(*rows: tuple[object, ...]) -> bytes:
    book, stream = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(stream)
    return stream.getvalue()


FILES = {
    f"{BASE}/regular-fundus-training/Images/56/56_l1.jpg": "",
    f"{BASE}/regular-fundus-training/Images/56/56_r3.jpg": "",
    f"{BASE}/regular-fundus-training/Images/56/56_l3.jpg": "",
    f"{BASE}/regular-fundus-validation/Images/265/265_r1.jpg": "",
    f"{BASE}/Online-Challenge1&2-Evaluation/Images/347/347_l1.jpg": "",
    f"{BASE}/Online-Challenge1&2-Evaluation/Images/347/347_r2.jpg": "",
    TRAINING: HEADER
    + "56,56_l1,\\regular-fundus-training\\56\\56_l1.jpg,0,1,,1,8,8,0\n"
    + "56,56_r3,\\regular-fundus-training\\56\\56_r3.jpg,0,1,,1,10,8,1\n"
    + "56,56_l3,\\regular-fundus-training\\56\\56_l3.jpg,1,,0,1,10,10,0\n",
    VALIDATION: HEADER + "265,265_r1,\\regular-fundus-validation\\265\\265_r1.jpg,1,,3,3,8,8,0\n",
    EVALUATION: workbook(("image_id", "DR_Levels"), ("347_l1", 4), (None, None), ("347_r2", 0)),
}


def test_grade_and_eye_are_those_of_the_filled_column(tree, rows_of):
    rows = rows_of(DeepDrid(str(tree(FILES)), allow_partial=True))
    keys = ("patient_id", "eye", "grade", "gradable", "split")
    assert {name: tuple(row[key] for key in keys) for name, row in rows.items()} == {
        "data/56/56_l1": ("56", "left", 1, False, "train"),
        "data/56/56_r3": ("56", "left", 1, False, "train"),
        "data/56/56_l3": ("56", "right", 0, True, "train"),
        "data/265/265_r1": ("265", "right", 3, True, "val"),
        "data/347/347_l1": ("347", "left", 4, None, "test"),
        "data/347/347_r2": ("347", "right", 0, None, "test"),
    }


def test_counts_are_the_published_ones(tree, error_of):
    root = tree(FILES)
    message = error_of(DeepDrid(str(root)))
    assert message.startswith(
        f"{root}/{TRAINING} + {root}/{VALIDATION}: left_eye_DR_Level/right_eye_DR_Level: expected "
    )
    assert "1600 labels 714/186/326/282/92, found 4 labels 1/2/0/1/0" in message


def test_the_evaluation_part_may_be_missing_from_a_partial_copy(tree, rows_of):
    root = tree(FILES)
    (root / EVALUATION).unlink()
    rows = rows_of(DeepDrid(f"{root}/{BASE}", allow_partial=True))
    assert {row["split"] for row in rows.values()} == {"train", "val"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("56,a,\\x\\56\\56_l1.jpg,0,1,1,1,8,8,0", "exactly one of them must have the image's grade"),
        ("56,a,\\x\\56\\56_l1.jpg,0,,,1,8,8,0", "exactly one of them must have the image's grade"),
        ("56,a,\\..\\..\\56_l1.jpg,0,1,,1,8,8,0", "image_path: '..\\\\..\\\\56_l1.jpg' must be a path below"),
        ("56,a,\\x\\56\\56_l1.jpg,2,1,,1,8,8,0", "Overall quality: '2' is neither 0 nor 1"),
    ],
)
def test_an_odd_row_is_named(tree, error_of, row, message):
    text = error_of(DeepDrid(str(tree({**FILES, TRAINING: f"{HEADER}{row}\n"})), allow_partial=True))
    assert f"{TRAINING}: line 2: " in text
    assert message in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no workbook", "cannot be read as an Excel workbook"),
        (workbook(), "is empty; a header with image_id, DR_Levels is needed"),
        (workbook(("image_id", "DR_Level"), ("347_l1", 1)), "DR_Levels: the column is missing"),
        (workbook(("image_id", "DR_Levels"), ("347_l1", 5)), "line 2: DR_Levels: '5' is no grade"),
        (
            workbook(("image_id", "DR_Levels"), ("l1", 1)),
            "line 2: image_id: 'l1' is not named <patient>_<eye and view>",
        ),
    ],
)
def test_an_odd_workbook_is_one_line_that_says_where(tree, error_of, content, message):
    text = error_of(DeepDrid(str(tree({**FILES, EVALUATION: content})), allow_partial=True))
    assert f"{EVALUATION}: {message}" in text
