"""Dataset layouts: a folder of photographs and a label file into manifest rows, every odd row an error."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import pyarrow as pa

from raydr import storage
from raydr.data.manifest import SCHEMA
from raydr.errors import InputError

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns of a label file."""

    image: str = "image"
    grade: str = "level"
    patient: str | None = None
    eye: str | None = None
    split: str | None = None


EYEPACS_COLUMNS = Columns()


@dataclass(frozen=True, slots=True)
class Source:
    """One dataset as its user names it."""

    name: str
    layout: Literal["eyepacs", "csv"]
    images: str
    labels: str
    splits: str | None = None
    columns: Columns = EYEPACS_COLUMNS
    external: bool = False
    drop_missing: bool = False


@dataclass(frozen=True, slots=True)
class SourceTable:
    """The manifest rows of a source (split null where none was given) and how many labels had no image."""

    rows: pa.Table
    num_dropped: int


def read_csv(uri: str, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV file with a header; InputError where it is missing, empty or lacks a column."""
    try:
        text = storage.read_bytes(uri).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{uri}: not a text file; a CSV file with a header is needed") from None
    except OSError as error:
        raise InputError(f"{uri}: cannot be read: {error.strerror or error}") from None
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    header = [name.strip() for name in reader.fieldnames or []]
    if not header:
        raise InputError(f"{uri}: is empty; a header with {', '.join(required)} is needed")
    reader.fieldnames = header
    for name in required:
        if name not in header:
            raise InputError(f"{uri}: {name}: the column is missing; the file has {', '.join(header)}")
    rows = [(reader.line_num, _plain(row)) for row in reader]
    rows = [(line, row) for line, row in rows if any(row.values())]
    if not rows:
        raise InputError(f"{uri}: has a header but no rows; at least one label is needed")
    return rows


def _plain(row: Mapping[Any, Any]) -> dict[str, str]:
    """A row without blanks, without what stands beyond the last column, missing cells empty."""
    return {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}


def find_images(folder: str) -> dict[str, str]:
    """URI of every image below ``folder`` by its path there, without suffix; InputError where there is none."""
    if not storage.is_folder(folder):
        raise InputError(f"{folder}: is no folder; `images` must be a folder of photographs")
    base = storage.absolute(folder).rstrip("/") + "/"
    found: dict[str, str] = {}
    for uri, _, _ in storage.list_files(folder):
        path = PurePosixPath(uri.removeprefix(base))
        if path.suffix.lower() in IMAGE_SUFFIXES:
            key = str(path.with_suffix(""))
            if key in found:
                raise InputError(f"{uri}: another file has the same name but for its suffix: {found[key]}")
            found[key] = uri
    if not found:
        raise InputError(f"{folder}: no photograph in it (looked for {', '.join(IMAGE_SUFFIXES)})")
    return found


def _grade(text: str, where: str) -> int | None:
    if text == "":
        return None
    try:
        grade = int(float(text))
    except ValueError:
        grade = -1
    if grade not in range(5) or float(grade) != float(text):
        raise InputError(f"{where}: {text!r} is no grade; allowed: 0, 1, 2, 3, 4 or empty")
    return grade


def _key(image: str, where: str) -> str:
    path = PurePosixPath(image.replace("\\", "/"))
    if not image or path.is_absolute() or ".." in path.parts:
        raise InputError(f"{where}: {image!r} must be a path below the images folder")
    return str(path.with_suffix("")) if path.suffix.lower() in IMAGE_SUFFIXES else str(path)


def _patient_and_eye(source: Source, row: Mapping[str, str], key: str, where: str) -> tuple[str | None, str | None]:
    if source.layout == "csv":
        patient = row.get(source.columns.patient or "", "") or None
        eye = row.get(source.columns.eye or "", "").lower()
        return patient, {"l": "left", "r": "right", "os": "left", "od": "right"}.get(eye, eye) or None
    name, _, side = PurePosixPath(key).name.rpartition("_")
    if not name or side not in ("left", "right"):
        raise InputError(f"{where}: {key!r} is not named <patient>_left or <patient>_right, as EyePACS images are")
    return name, side


def _read_splits(source: Source) -> dict[str, str]:
    if source.splits is None:
        return {}
    found: dict[str, str] = {}
    for line, row in read_csv(source.splits, ["image", "split"]):
        if row["split"] not in ("train", "val", "test"):
            raise InputError(f"{source.splits}: line {line}: split: {row['split']!r}; allowed: train, val, test")
        found[_key(row["image"], f"{source.splits}: line {line}")] = row["split"]
    return found


def read_source(source: Source) -> SourceTable:
    """The manifest rows of one dataset.

    Raises:
        InputError: label file missing, empty or malformed; an image labelled twice with two grades; a label whose
            image is missing (unless they are dropped); an image without a split where a split file is given.
    """
    columns = source.columns
    labels = read_csv(source.labels, [name for name in (columns.image, columns.grade, columns.patient) if name])
    images, splits = find_images(source.images), _read_splits(source)
    names = {PurePosixPath(key).name: key for key in images}
    if len(names) < len(images):  # the same name in two folders: only a path is unambiguous
        names = {}
    seen: dict[str, tuple[int, int | None]] = {}
    rows, missing = [], []
    for line, row in labels:
        where = f"{source.labels}: line {line}"
        key = _key(row[columns.image], f"{where}: {columns.image}")
        grade = _grade(row[columns.grade], f"{where}: {columns.grade}")
        if key in seen:
            first_line, first_grade = seen[key]
            if first_grade != grade:
                raise InputError(f"{where}: {key!r} has grade {grade}, but line {first_line} says {first_grade}")
            continue
        seen[key] = (line, grade)
        place = key if key in images else names.get(key)
        if place is None:
            missing.append(f"{where}: no image {key!r} below {source.images}")
            continue
        patient, eye = _patient_and_eye(source, row, key, where)
        split = "external" if source.external else splits.get(key) or row.get(columns.split or "") or None
        if source.splits and not source.external and split is None:
            raise InputError(f"{source.splits}: image: {key!r} is labelled but has no split")
        rows.append(_row(source, key, uri=images[place], patient=patient, eye=eye, grade=grade, split=split))
    if missing and not source.drop_missing:
        more = f" ({len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(f'{missing[0]}{more}; add the images, or set missing = "drop"')
    if not rows:
        raise InputError(f"{source.labels}: no label has an image below {source.images}")
    return SourceTable(pa.Table.from_pylist(rows, schema=SCHEMA), num_dropped=len(missing))


def _row(
    source: Source, key: str, *, uri: str, patient: str | None, eye: str | None, grade: int | None, split: str | None
) -> dict[str, object]:
    return {
        "image_id": f"{source.name}/{key}",
        "uri": uri,
        "dataset": source.name,
        "patient_id": patient,
        "eye": eye,
        "grade": grade,
        "label_source": None if grade is None else source.labels.rpartition("/")[2],
        "split": split,
    }
