"""Dataset layouts: a folder of photographs and a label file into manifest rows, every odd row an error."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import pyarrow as pa

from raydr import storage
from raydr.data.labels import (
    IMAGE_SUFFIXES,
    cell_of,
    image_key,
    parse_eye,
    parse_grade,
    parse_image,
    parse_split,
    read_csv,
)
from raydr.data.manifest import SCHEMA
from raydr.errors import InputError

__all__ = ["EYEPACS_COLUMNS", "IMAGE_SUFFIXES", "Columns", "Source", "SourceTable", "find_images", "read_source"]


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


@dataclass(frozen=True, slots=True)
class _Folder:
    """The images of a folder, found by their path in it or, where that is unambiguous, by their name alone."""

    images: Mapping[str, str]
    paths_of_name: Mapping[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        paths = defaultdict(list)
        for key in self.images:
            paths[PurePosixPath(key).name].append(key)
        object.__setattr__(self, "paths_of_name", dict(paths))

    def place(self, key: str, where: str) -> str | None:
        """The path of the image that a label means, None where there is none."""
        if key in self.images:
            return key
        paths = self.paths_of_name.get(key, [])
        if len(paths) > 1:
            raise InputError(f"{where}: {key!r} stands in two folders ({paths[0]}, {paths[1]}); write the path")
        return paths[0] if paths else None


def find_images(folder: str) -> dict[str, str]:
    """URI of every image below ``folder`` by its path there, without suffix; InputError where there is none.

    Hidden files are left out (desktops leave ``._name.jpeg`` beside pictures), and so is what a link to a folder
    above itself shows again.
    """
    base = storage.absolute(folder).rstrip("/") + "/"
    found: dict[str, str] = {}
    looping: dict[PurePosixPath, bool] = {}
    for uri in _listed(folder):
        path = PurePosixPath(uri.removeprefix(base))
        if path.suffix.lower() not in IMAGE_SUFFIXES or any(part.startswith(".") for part in path.parts):
            continue
        if path.parent not in looping:
            looping[path.parent] = _goes_in_a_circle(base, path.parent)
        if looping[path.parent]:
            continue
        key = image_key(path)
        if key in found:
            raise InputError(f"{uri}: another file has the same name but for its suffix: {found[key]}")
        found[key] = uri
    if not found:
        raise InputError(f"{folder}: no photograph in it (looked for {', '.join(IMAGE_SUFFIXES)})")
    return found


def _listed(folder: str) -> list[str]:
    try:
        if not storage.is_folder(folder):
            raise InputError(f"{folder}: is no folder; `images` must be a folder of photographs")
        return [uri for uri, _, _ in storage.list_files(folder)]
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{folder}: cannot be listed: {storage.cause_of(error)}") from None


def _goes_in_a_circle(base: str, folder: PurePosixPath) -> bool:
    if not storage.is_local(base):
        return False  # object stores have no links
    root = Path(base.removeprefix("file://"))
    steps = [root.joinpath(*folder.parts[:depth]).resolve() for depth in range(len(folder.parts) + 1)]
    return len(set(steps)) < len(steps)


def read_source(source: Source) -> SourceTable:
    """The manifest rows of one dataset: its labelled images, and those of an internal one that no label names.

    An image's id is the dataset's name and its path below the images folder, without suffix.

    Raises:
        InputError: label file missing, empty or malformed; an image labelled twice with two grades; a label whose
            image is missing (unless they are dropped); a labelled image without a split where a split file is given.
    """
    columns = source.columns
    named = [columns.image, columns.grade, columns.patient, columns.eye, columns.split]
    labels = read_csv(source.labels, [name for name in named if name])
    folder = _Folder(find_images(source.images))
    splits = _read_splits(source, folder)
    rows: dict[str, dict[str, object]] = {}
    first_lines: dict[str, int] = {}
    missing: list[str] = []
    for line, cells in labels:
        where = f"{source.labels}: line {line}"
        key = parse_image(cells[columns.image], f"{where}: {columns.image}")
        grade = parse_grade(cells[columns.grade], f"{where}: {columns.grade}")
        place = folder.place(key, f"{where}: {columns.image}")
        if place is None:
            missing.append(f"{where}: {columns.image}: no image {key!r} below {source.images}")
            continue
        row = _labelled_row(source, cells, place=place, grade=grade, splits=splits, where=where)
        if place in rows:
            _check_repeated(rows[place], row, f"{where}: {key!r}", columns, first_line=first_lines[place])
            continue
        rows[place], first_lines[place] = {**row, "uri": folder.images[place]}, line
    if missing and not source.drop_missing:
        more = f" ({len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(f'{missing[0]}{more}; add the images, or set missing = "drop"')
    if not rows:
        raise InputError(f"{source.labels}: no label has an image below {source.images}")
    # Where patients are named, an image that no row names could be any patient's, of the test split too.
    if not source.external and not (source.layout == "csv" and columns.patient):
        for place, uri in folder.images.items():
            if place not in rows:
                rows[place] = {**_unlabelled_row(source, place, splits.get(place)), "uri": uri}
    return SourceTable(pa.Table.from_pylist(list(rows.values()), schema=SCHEMA), num_dropped=len(missing))


def _read_splits(source: Source, folder: _Folder) -> dict[str, str]:
    """Split by image path; what names no image is left out, for a split file may serve a larger dataset."""
    found: dict[str, str] = {}
    if source.splits is None or source.external:
        return found
    for line, cells in read_csv(source.splits, ["image", "split"]):
        where = f"{source.splits}: line {line}"
        split = parse_split(cells["split"], f"{where}: split")
        key = parse_image(cells["image"], f"{where}: image")
        place = folder.place(key, f"{where}: image")
        if place is None:
            continue
        if found.setdefault(place, split) != split:
            raise InputError(f"{where}: split: {key!r} is in {split}, but an earlier line says {found[place]}")
    return found


def _labelled_row(
    source: Source, cells: Mapping[str, str], *, place: str, grade: int | None, splits: Mapping[str, str], where: str
) -> dict[str, object]:
    columns = source.columns
    if source.layout == "eyepacs":
        patient, eye = _eyepacs_name(place)
        if patient is None:
            raise InputError(
                f"{where}: {place!r} is not named <patient>_left or <patient>_right, as EyePACS images are"
            )
    else:
        patient, eye = cell_of(cells, columns.patient) or None, parse_eye(cell_of(cells, columns.eye))
    split: str | None = "external"
    if not source.external:
        written = cell_of(cells, columns.split)
        split = splits.get(place) or (parse_split(written, f"{where}: {columns.split}") if written else None)
        if source.splits is not None and split is None:
            raise InputError(f"{source.splits}: image: {place!r} is labelled but has no split")
    label_source = None if grade is None else source.labels.rpartition("/")[2]
    return {
        **_base_row(source, place, patient=patient, eye=eye, split=split),
        "grade": grade,
        "label_source": label_source,
    }


def _unlabelled_row(source: Source, place: str, split: str | None) -> dict[str, object]:
    patient, eye = _eyepacs_name(place) if source.layout == "eyepacs" else (None, None)
    return _base_row(source, place, patient=patient, eye=eye, split=split)


def _base_row(
    source: Source, place: str, *, patient: str | None, eye: str | None, split: str | None
) -> dict[str, object]:
    return {
        "image_id": f"{source.name}/{place}",
        "dataset": source.name,
        "patient_id": patient,
        "eye": eye,
        "split": split,
    }


def _eyepacs_name(place: str) -> tuple[str | None, str | None]:
    """Patient and eye of ``<patient>_left`` or ``<patient>_right``, neither where it has another name."""
    patient, _, side = PurePosixPath(place).name.rpartition("_")
    return (patient, side) if patient and side in ("left", "right") else (None, None)


def _check_repeated(
    first: Mapping[str, object], again: Mapping[str, object], where: str, columns: Columns, *, first_line: int
) -> None:
    for name, column in (("grade", columns.grade), ("patient_id", columns.patient), ("split", columns.split)):
        if first[name] != again[name]:
            raise InputError(
                f"{where}: {column or name}: is {again[name]} here, but line {first_line} says {first[name]}"
            )
