"""Label files: the rows of CSV files and sheets with their line numbers, and what may stand in a cell."""

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import pyarrow as pa

from raydr import storage
from raydr.errors import InputError
from raydr.grades import NUM_GRADES

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".tif", ".tiff")
_EYES = {"l": "left", "r": "right", "os": "left", "od": "right"}


Rows = list[tuple[int, dict[str, str]]]
"""(line number, cells by column) of a label file."""


def read_csv(uri: str, required: Sequence[str], *, delimiter: str | None = ",") -> Rows:
    """(line number, row) of a CSV file with a header; InputError where it is missing, empty or malformed.

    Without a ``delimiter`` any number of blanks parts two cells.
    """
    lines = read_lines(uri, "a CSV file with a header", delimiter=delimiter)
    return _with_header(uri, lines, required)


def read_sheet(uri: str, required: Sequence[str]) -> Rows:
    """(line number, row) of the first sheet of an Excel workbook (.xlsx), like `read_csv`."""
    import openpyxl  # a third of a second, for one dataset alone
    from openpyxl.utils.exceptions import InvalidFileException

    content = _content(uri, "an Excel workbook")
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        lines = [
            (line, ["" if cell is None else str(cell).strip() for cell in cells])
            for line, cells in enumerate(book.worksheets[0].iter_rows(values_only=True), start=1)
        ]
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, IndexError, SyntaxError) as error:
        raise InputError(f"{uri}: cannot be read as an Excel workbook (.xlsx): {error}") from None
    return _with_header(uri, [entry for entry in lines if any(entry[1])], required)


def read_lines(uri: str, wanted: str, *, delimiter: str | None = ",") -> list[tuple[int, list[str]]]:
    """(line number, cells) of a file without a header, blank lines left out; ``wanted`` is what the file should be."""
    try:
        text = _content(uri, wanted).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{uri}: not a text file in UTF-8; {wanted} is needed") from None
    if delimiter is None:
        return [(number, line.split()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    found: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            if any(row):
                found.append((reader.line_num, row))
    except csv.Error as error:
        raise InputError(f"{uri}: line {reader.line_num}: not CSV: {error}") from None
    return found


def _with_header(uri: str, lines: Sequence[tuple[int, list[str]]], required: Sequence[str]) -> Rows:
    if not lines:
        raise InputError(f"{uri}: is empty; a header with {', '.join(required)} is needed")
    (_, header), *rest = lines
    _check_header(uri, header, required)
    if not rest:
        raise InputError(f"{uri}: has a header but no rows; at least one is needed")
    return [(line, _named(header, row, f"{uri}: line {line}")) for line, row in rest]


def _content(uri: str, wanted: str) -> bytes:
    try:
        return storage.read_bytes(uri)
    except FileNotFoundError:
        raise InputError(f"{uri}: no such file; {wanted} is needed") from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{uri}: cannot be read: {storage.cause_of(error)}") from None


def _check_header(uri: str, header: Sequence[str], required: Sequence[str]) -> None:
    for name in required:
        if name not in header:
            raise InputError(f"{uri}: {name}: the column is missing; the file has {', '.join(header)}")
        if header.count(name) > 1:
            raise InputError(f"{uri}: {name}: two columns have this name")


def _named(header: Sequence[str], row: Sequence[str], where: str) -> dict[str, str]:
    """A row by column; missing cells are empty, cells beyond the header an error (an unquoted comma shifts a row)."""
    if any(row[len(header) :]):
        raise InputError(f"{where}: has {len(row)} cells, the header {len(header)}; a comma in a cell needs quotes")
    return {name: row[place] if place < len(row) else "" for place, name in enumerate(header)}


def parse_grade(text: str, where: str) -> int | None:
    """The ICDR grade in a cell, None where it is empty; InputError where it is neither."""
    return _parse_number(text, range(NUM_GRADES), f"{where}: {text!r} is no grade; allowed: 0, 1, 2, 3, 4 or empty")


def parse_flag(text: str, where: str) -> bool | None:
    """The yes or no in a cell, None where it is empty; InputError where it is neither 0 nor 1."""
    value = _parse_number(text, range(2), f"{where}: {text!r} is neither 0 nor 1; allowed: 0, 1 or empty")
    return None if value is None else bool(value)


def _parse_number(text: str, allowed: range, message: str) -> int | None:
    """The whole number in a cell, `2` or `2.0`, None where it is empty; InputError with ``message`` for any other."""
    if text == "":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value not in allowed:
        raise InputError(message)
    return int(value)


def parse_split(text: str, where: str) -> str:
    """The split in a cell; InputError where it is none of train, val and test."""
    if text not in ("train", "val", "test"):
        raise InputError(f"{where}: {text!r}; allowed: train, val, test")
    return text


def parse_eye(text: str) -> str | None:
    """`left` or `right` where the cell says so in a usual way, else what it says, None where it is empty."""
    return _EYES.get(text.lower(), text.lower()) or None


def parse_image(text: str, where: str) -> str:
    """The path below the images folder in a cell, without an image's suffix; InputError where it leads out of it."""
    path = PurePosixPath(text.replace("\\", "/"))
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise InputError(f"{where}: {text!r} must be a path below the images folder")
    return image_key(path)


def image_key(path: PurePosixPath) -> str:
    """What an image is called in labels and ids: its path without an image's suffix."""
    return str(path.with_suffix("")) if path.suffix.lower() in IMAGE_SUFFIXES else str(path)


def cell_of(cells: Mapping[str, str], column: str | None) -> str:
    """A cell of a column that may not be named; empty where it is not."""
    return "" if column is None else cells.get(column, "")
