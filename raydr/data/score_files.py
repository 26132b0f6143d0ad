"""Anybody's scores and labels, CSV or Parquet, as one table: no model and no photograph is needed."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import pyarrow as pa

from raydr import storage
from raydr.data.labels import parse_eye, parse_flag, parse_grade, read_csv
from raydr.data.manifest import SPLITS
from raydr.errors import InputError
from raydr.grades import NUM_GRADES

_GRADES: Final = tuple(f"grade_{grade}" for grade in range(NUM_GRADES))
_MAX_SHOWN: Final = 40
_ROUNDING: Final = 0.02  # of five probabilities that were written with two digits
_Parser = Callable[[str, str], Any]
"""The value of a cell; its second argument says where the cell is."""


@dataclass(frozen=True, slots=True)
class ScoreFiles:
    """What a file of scores and a file of labels say of the same images."""

    table: pa.Table
    """A row a label: ``image_id``, ``dataset``, ``split``, ``patient_id``, ``exam_id``, ``eye``, ``gradable``,
    ``quality``, ``camera``, ``grade``, ``probability`` and, where the scores have them, ``grade_0`` to ``grade_4``;
    null where unknown. A label without a dataset belongs to one that is called as its file."""
    num_unscored: int
    """Labels whose image is not among the scores: rows without a probability."""
    num_unlabelled: int
    """Scores whose image is not among the labels: not in the table."""


def read_score_files(scores: str, labels: str) -> ScoreFiles:
    """The labels in their order with their scores; columns beyond those that are known are ignored.

    Args:
        scores: ``image_id`` and ``probability`` of referable retinopathy; all or none of ``grade_0`` to ``grade_4``.
        labels: ``image_id`` and ``grade``; any of ``patient_id``, ``eye``, ``exam_id``, ``gradable``, ``quality``,
            ``camera``, ``dataset`` and ``split``.

    Raises:
        InputError: A file or a column is missing, an image stands twice in a file, a value is not allowed, or no image
            is in both.
    """
    score_of = _read_scores(scores)
    rows = _rows(labels, _LABELS, required=("image_id", "grade"))
    num_shared = sum(row["image_id"] in score_of for row in rows)
    if not num_shared:
        here, there = (_shown(name) for name in (next(iter(score_of)), rows[0]["image_id"]))
        raise InputError(f"{scores}: image_id: none is in {labels}; its first is {here}, the first there {there}")
    name = PurePosixPath(labels).stem
    columns = {key: pa.array([row.get(key) for row in rows], kind) for key, kind in _COLUMNS.items()}
    columns["dataset"] = pa.array([row.get("dataset") or name for row in rows], pa.string())
    for key in next(iter(score_of.values())):
        columns[key] = pa.array([score_of.get(row["image_id"], {}).get(key) for row in rows], pa.float64())
    return ScoreFiles(pa.table(columns), len(rows) - num_shared, len(score_of) - num_shared)


def read_scored_images(uri: str) -> pa.Table:
    """The images of one file that holds scores and what is known of them, a row each: `scores.parquet`, or anybody's.

    Columns: ``image_id``, ``dataset``, ``split``, ``patient``, ``exam``, ``grade``, ``exam_referable`` (whether the
    image's exam is, where exams have a reference), ``probability``, null where unknown. The file must have ``image_id``
    and ``probability``; a patient stands in ``patient_id`` or ``patient``, an exam in ``exam_id`` or ``exam``.

    Raises:
        InputError: The file or a column is missing, an image stands twice in it, a value is not allowed.
    """
    rows = _rows(uri, _SCORED, required=("image_id", "probability"))
    for row in rows:
        is_named = row.get("has_patient") is not False  # else evaluate has made a name up
        row["patient"] = row.get("patient_id") or (row.get("patient") if is_named else None)
        row["exam"] = row.get("exam_id") or row.get("exam")
    return pa.table({key: pa.array([row.get(key) for row in rows], kind) for key, kind in _SCORED_COLUMNS.items()})


def _read_scores(uri: str) -> dict[str, dict[str, float | None]]:
    """Probabilities by image."""
    found: dict[str, dict[str, float | None]] = {}
    for row in _rows(uri, _SCORES, required=("image_id", "probability")):
        missing = [name for name in _GRADES if name not in row]
        if 0 < len(missing) < NUM_GRADES:
            raise InputError(f"{uri}: {missing[0]}: the column is missing; {_GRADES[0]} to {_GRADES[-1]} come together")
        name = row.pop("image_id")
        if row["probability"] is not None and None in row.values():
            raise InputError(f"{uri}: image_id: {_shown(name)} has a probability, but one of its grades' is empty")
        total = sum(row[grade] or 0.0 for grade in _GRADES if grade in row)
        if row["probability"] is not None and not missing and abs(total - 1) > _ROUNDING:
            raise InputError(
                f"{uri}: image_id: {_shown(name)}: {_GRADES[0]} to {_GRADES[-1]} sum to {total:g}, not to 1"
            )
        found[name] = row
    return found


def _rows(uri: str, parsers: Mapping[str, _Parser], *, required: Sequence[str]) -> list[dict[str, Any]]:
    """The known cells of each row by column; InputError where one image has two rows."""
    lines = _parquet(uri, required) if uri.endswith(".parquet") else _csv(uri, required)
    found: list[dict[str, Any]] = []
    first_at: dict[str, str] = {}
    for where, cells in lines:
        row = {name: parse(cells[name], f"{uri}: {where}: {name}") for name, parse in parsers.items() if name in cells}
        earlier = first_at.setdefault(row["image_id"], where)
        if earlier != where:
            raise InputError(f"{uri}: {where}: image_id: {_shown(row['image_id'])} stands in {earlier} already")
        found.append(row)
    return found


def _csv(uri: str, required: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    return [(f"line {line}", cells) for line, cells in read_csv(uri, required)]


def _parquet(uri: str, required: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """The rows with every value as the text that stands for it in a CSV file, empty where it is null or NaN."""
    try:
        table = storage.read_table(uri)
    except FileNotFoundError:
        raise InputError(f"{uri}: no such file; a Parquet file with {', '.join(required)} is needed") from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{uri}: cannot be read as Parquet: {storage.cause_of(error)}") from None
    for name in required:
        if name not in table.column_names:
            raise InputError(f"{uri}: {name}: the column is missing; the file has {', '.join(table.column_names)}")
    if not table.num_rows:
        raise InputError(f"{uri}: has no rows; at least one image is needed")
    names = [name for name in table.column_names if not pa.types.is_nested(table.schema.field(name).type)]
    columns = [[_text(value) for value in table[name].to_pylist()] for name in names]
    return [
        (f"row {row}", dict(zip(names, cells, strict=True)))
        for row, cells in enumerate(zip(*columns, strict=True), start=1)
    ]


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value).strip()


def _parse_id(text: str, where: str) -> str:
    if not text:
        raise InputError(f"{where}: is empty; every row needs it")
    return text


def _parse_probability(text: str, where: str) -> float | None:
    value = _parse_number(text, where, "is no probability; allowed: 0 to 1, or empty")
    if value is not None and not 0 <= value <= 1:
        raise InputError(f"{where}: {_shown(text)} is no probability; allowed: 0 to 1, or empty")
    return value


def _parse_number(text: str, where: str, message: str = "is no number; allowed: a number, or empty") -> float | None:
    if not text or text.lower() == "nan":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise InputError(f"{where}: {_shown(text)} {message}")
    return value


def _parse_known_split(text: str, where: str) -> str | None:
    if text and text not in SPLITS:
        raise InputError(f"{where}: {_shown(text)}; allowed: {', '.join(SPLITS)}, or empty")
    return text or None


def _parse_grade_or_none(text: str, where: str) -> int | None:
    return None if text == "-1" else parse_grade(text, where)


def _parse_word(text: str, _: str) -> str | None:
    return text or None


def _parse_side(text: str, _: str) -> str | None:
    return parse_eye(text)


def _parse_yes_or_no(text: str, where: str) -> bool | None:
    return parse_flag({"true": "1", "false": "0"}.get(text.lower(), text), where)  # as pandas writes them


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}...")


_SCORES: Final[Mapping[str, _Parser]] = {
    "image_id": _parse_id,
    **dict.fromkeys(("probability", *_GRADES), _parse_probability),
}
_LABELS: Final[Mapping[str, _Parser]] = {
    "image_id": _parse_id,
    "grade": parse_grade,
    **dict.fromkeys(("patient_id", "exam_id", "camera", "dataset"), _parse_word),
    "eye": _parse_side,
    "gradable": _parse_yes_or_no,
    "quality": _parse_number,
    "split": _parse_known_split,
}
_COLUMNS: Final = {
    **dict.fromkeys(("image_id", "dataset", "split", "patient_id", "exam_id", "eye", "camera"), pa.string()),
    "gradable": pa.bool_(),
    "quality": pa.float64(),
    "grade": pa.int64(),
}
_SCORED: Final[Mapping[str, _Parser]] = {
    "image_id": _parse_id,
    "probability": _parse_probability,
    "grade": _parse_grade_or_none,
    **dict.fromkeys(("patient", "patient_id", "exam", "exam_id", "dataset"), _parse_word),
    **dict.fromkeys(("has_patient", "exam_referable"), _parse_yes_or_no),
    "split": _parse_known_split,
}
_SCORED_COLUMNS: Final = {
    **dict.fromkeys(("image_id", "dataset", "split", "patient", "exam"), pa.string()),
    "grade": pa.int64(),
    "exam_referable": pa.bool_(),
    "probability": pa.float64(),
}
