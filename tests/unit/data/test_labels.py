"""Label files are read with their line numbers; every odd cell is one line that says where."""

from pathlib import Path

import pytest

from raydr.data.labels import parse_flag, parse_image, read_csv, read_lines
from raydr.errors import InputError


def text(root: Path, content: str) -> str:
    (root / "labels.txt").write_text(content)
    return str(root / "labels.txt")


def test_blanks_however_many_part_the_cells_where_there_is_no_delimiter(tmp_path: Path) -> None:
    uri = text(tmp_path, "\ufeffimage_name gradability\n\n1_left   1\n1_right\t0\n")
    assert read_csv(uri, ["image_name", "gradability"], delimiter=None) == [
        (3, {"image_name": "1_left", "gradability": "1"}),
        (4, {"image_name": "1_right", "gradability": "0"}),
    ]


def test_empty_columns_at_the_end_do_no_harm_but_filled_ones_do(tmp_path: Path) -> None:
    uri = text(tmp_path, "image,grade ,,,\na,1,,,\nb,2\n")
    assert [(line, row["image"], row["grade"]) for line, row in read_csv(uri, ["image", "grade"])] == [
        (2, "a", "1"),
        (3, "b", "2"),
    ]
    with pytest.raises(InputError, match="line 2: has 3 cells, the header 2"):
        read_csv(text(tmp_path, "image,grade\na,1,2\n"), ["image"])


def test_a_file_without_a_header_gives_its_cells(tmp_path: Path) -> None:
    assert read_lines(text(tmp_path, "a;b\n\nc; d\n"), "pairs", delimiter=";") == [(1, ["a", "b"]), (3, ["c", "d"])]
    with pytest.raises(InputError, match=r"nothing\.txt: no such file; pairs is needed"):
        read_lines(str(tmp_path / "nothing.txt"), "pairs")


def test_a_flag_is_zero_one_or_empty() -> None:
    assert [parse_flag(cell, "x") for cell in ("0", "1", "1.0", "")] == [False, True, True, None]
    for cell in ("2", "yes", "nan"):
        with pytest.raises(InputError, match=r"file: line 2: .* is neither 0 nor 1"):
            parse_flag(cell, "file: line 2")


@pytest.mark.parametrize("cell", ["/etc/passwd", "..", "a/../../b", "..\\..\\b", "\\\\server\\b", ""])
def test_a_path_that_leads_out_of_the_folder_is_refused(cell: str) -> None:
    with pytest.raises(InputError, match="must be a path below the images folder"):
        parse_image(cell, "x")
