"""Datasets into manifest rows, whatever their layout: every odd label an error, every image at most one row."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from raydr.data.labels import IMAGE_SUFFIXES, parse_image, parse_split, read_csv
from raydr.data.layouts.layout import Label, Layout, Part
from raydr.data.manifest import SCHEMA
from raydr.errors import InputError

__all__ = ["EXAMS_SCHEMA", "IMAGE_SUFFIXES", "Source", "SourceTable", "read_source"]

EXAMS_SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("exam_id", pa.string(), nullable=False),
        pa.field("referable", pa.bool_(), nullable=False),
    ]
)
"""Exams whose reference standard is of the exam, not of its images; `exam_id` is that of the manifest."""


@dataclass(frozen=True, slots=True)
class Source:
    """One dataset as its user names it."""

    name: str
    layout: Layout
    external: bool = False
    drop_missing: bool = False


@dataclass(frozen=True, slots=True)
class SourceTable:
    """The manifest rows of a source (split null where none was given) and what else was found."""

    rows: pa.Table
    exams: pa.Table
    """`EXAMS_SCHEMA`; the exams that have an image."""
    label_file: str
    """The first one, for messages."""
    num_dropped: int
    """Labels without an image, left out."""
    num_unlisted: int
    """Photographs that no label names, left out: nobody knows whose they are."""


def read_source(source: Source) -> SourceTable:
    """The manifest rows of one dataset: its labelled images, and those of an internal one that no label names.

    An image's id is the dataset's name and its path below the images folder, without suffix; where names restart, the
    part's name stands between.

    Raises:
        InputError: label file missing, empty or malformed; labels that are not as many as published; an image labelled
            twice with two grades; a label whose image is missing (unless they are dropped); a labelled image without a
            split where a split file is given.
    """
    reading = source.layout.read()
    rows: dict[str, dict[str, object]] = {}
    uris: dict[str, str] = {}
    missing: list[str] = []
    for part in reading.parts:
        found = _labelled_rows(source, part, missing)
        for place, row in found.items():
            if row["uri"] in uris:
                raise InputError(f"{part.label_file}: {place!r} is labelled in {uris[str(row['uri'])]} already")
            if row["image_id"] in rows:
                raise InputError(f"{part.label_file}: {place!r} is an image of another part too; an id must be unique")
        uris |= dict.fromkeys((str(row["uri"]) for row in found.values()), part.label_file)
        rows |= {str(row["image_id"]): row for row in found.values()}
    first = reading.parts[0]
    if missing and not source.drop_missing:
        more = f" ({len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(f'{missing[0]}{more}; add the images, or set missing = "drop"')
    if not rows:
        raise InputError(f"{first.label_file}: no label has an image below {first.folder.uri}")
    num_unlisted = 0
    for part in reading.parts:
        if part.has_unlabelled and not source.external:
            rows |= _unlabelled_rows(source, part, known=uris)
        else:
            num_unlisted += sum(uri not in uris for uri in part.folder.images.values())
    table = pa.Table.from_pylist(list(rows.values()), schema=SCHEMA)
    there = set(table["exam_id"].to_pylist())
    exams = [
        {"dataset": source.name, "exam_id": exam, "referable": referable}
        for exam, referable in reading.exams.items()
        if exam in there
    ]
    graded = pa.Table.from_pylist(exams, schema=EXAMS_SCHEMA)
    return SourceTable(table, graded, first.label_file, len(missing), num_unlisted)


def _labelled_rows(source: Source, part: Part, missing: list[str]) -> dict[str, dict[str, object]]:
    """Rows by the image's place in the folder; what has no image is added to ``missing``."""
    splits = {} if source.external else _read_splits(part)
    rows: dict[str, dict[str, object]] = {}
    first_lines: dict[str, int] = {}
    for label in part.labels:
        where = f"{part.label_file}: line {label.line}"
        column = part.columns["image"]
        place = part.folder.place(label.image, f"{where}: {column}")
        if place is None:
            missing.append(f"{where}: {column}: no image {label.image!r} below {part.folder.uri}")
            continue
        row = _labelled_row(source, part, label, place=place, splits=splits)
        if place not in rows:
            rows[place], first_lines[place] = row, label.line
            continue
        for name in ("grade", "patient_id", "split"):
            if rows[place][name] != row[name]:
                raise InputError(
                    f"{where}: {label.image!r}: {part.columns.get(name, name)}: is {row[name]} here, "
                    f"but line {first_lines[place]} says {rows[place][name]}"
                )
    return rows


def _read_splits(part: Part) -> dict[str, str]:
    """Split by image path; what names no image is left out, for a split file may serve a larger dataset."""
    found: dict[str, str] = {}
    if part.split_file is None:
        return found
    for line, cells in read_csv(part.split_file, ["image", "split"]):
        where = f"{part.split_file}: line {line}"
        split = parse_split(cells["split"], f"{where}: split")
        key = parse_image(cells["image"], f"{where}: image")
        place = part.folder.place(key, f"{where}: image")
        if place is None:
            continue
        if found.setdefault(place, split) != split:
            raise InputError(f"{where}: split: {key!r} is in {split}, but an earlier line says {found[place]}")
    return found


def _labelled_row(
    source: Source, part: Part, label: Label, *, place: str, splits: Mapping[str, str]
) -> dict[str, object]:
    patient, eye = label.patient, label.eye
    if part.patient_and_eye is not None:
        patient, eye = part.patient_and_eye(place)
        if patient is None:
            raise InputError(
                f"{part.label_file}: line {label.line}: {place!r} is not named <patient>_left or <patient>_right, "
                "as EyePACS images are"
            )
    split: str | None = "external"
    if not source.external:
        split = splits.get(place) or label.split or part.split
        if part.split_file is not None and split is None:
            raise InputError(f"{part.split_file}: image: {place!r} is labelled but has no split")
    says_something = label.grade is not None or label.gradable is not None or label.exam is not None
    return {
        **_base_row(source, part, place, patient=patient, eye=eye, split=split),
        "exam_id": label.exam,
        "grade": label.grade,
        "dme": None if label.dme is None else int(label.dme),
        "gradable": label.gradable,
        "label_source": part.label_file.rpartition("/")[2] if says_something else None,
    }


def _unlabelled_rows(source: Source, part: Part, *, known: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Rows by id of the images that are labelled in no part."""
    splits = _read_splits(part)
    rows = {}
    for place, uri in part.folder.images.items():
        if uri not in known:
            patient, eye = part.patient_and_eye(place) if part.patient_and_eye else (None, None)
            row = _base_row(source, part, place, patient=patient, eye=eye, split=splits.get(place) or part.split)
            rows[str(row["image_id"])] = row
    return rows


def _base_row(
    source: Source, part: Part, place: str, *, patient: str | None, eye: str | None, split: str | None
) -> dict[str, object]:
    return {
        "image_id": "/".join(name for name in (source.name, part.name, place) if name),
        "uri": part.folder.images[place],
        "dataset": source.name,
        "patient_id": patient,
        "eye": eye,
        "split": split,
    }
