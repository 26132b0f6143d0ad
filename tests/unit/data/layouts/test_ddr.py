"""DDR: three parts with a text file each, grade 5 is ungradable."""

import pytest

from raydr.data.layouts.ddr import Ddr

BASE = "DDR-dataset/DR_grading"
FILES = {
    f"{BASE}/train/007-0004-000.jpg": "",
    f"{BASE}/train/007-0004-001.jpg": "",
    f"{BASE}/valid/007-0100-000.jpg": "",
    f"{BASE}/test/007-0200-000.jpg": "",
    f"{BASE}/train.txt": "007-0004-000.jpg 0\n007-0004-001.jpg 5\n",
    f"{BASE}/valid.txt": "007-0100-000.jpg 2\n",
    f"{BASE}/test.txt": "007-0200-000.jpg 4\n\n",
}


def test_grade_five_is_an_ungradable_image_without_a_grade(tree, rows_of):
    rows = rows_of(Ddr(str(tree(FILES)), allow_partial=True))
    assert {name: (row["grade"], row["gradable"], row["split"], row["patient_id"]) for name, row in rows.items()} == {
        "data/train/007-0004-000": (0, True, "train", None),
        "data/train/007-0004-001": (None, False, "train", None),
        "data/valid/007-0100-000": (2, True, "val", None),
        "data/test/007-0200-000": (4, True, "test", None),
    }
    assert rows["data/train/007-0004-001"]["label_source"] == "train.txt"


@pytest.mark.parametrize("below", ["", "/DDR-dataset", "/DDR-dataset/DR_grading"])
def test_the_root_may_be_any_of_the_nested_folders(tree, rows_of, below):
    assert len(rows_of(Ddr(f"{tree(FILES)}{below}", allow_partial=True))) == 4


def test_counts_of_all_parts_together_are_the_published_ones(tree, error_of):
    message = error_of(Ddr(str(tree(FILES))))
    assert "train.txt + " in message
    assert message.endswith(
        "test.txt: grade: expected 13673 labels 6266/630/4477/236/913 and 1151 ungradable, "
        "found 4 labels 1/0/1/0/1 and 1 ungradable; complete the download, or set allow_partial = true"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("007-0004-000.jpg", "line 1: has 1 cells; a line is an image and its grade, a blank between"),
        ("007-0004-000.jpg 6", "line 1: grade: '6' is no grade"),
        ("../../secret.jpg 0", "line 1: image: '../../secret.jpg' must be a path below the images folder"),
    ],
)
def test_an_odd_line_is_named(tree, error_of, line, message):
    assert f"{BASE}/train.txt: {message}" in error_of(
        Ddr(str(tree({**FILES, f"{BASE}/train.txt": line})), allow_partial=True)
    )
