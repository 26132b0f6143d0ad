"""Two models' scores of the same images side by side: what a paired comparison needs."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raydr.errors import InputError
from raydr.grades import REFERABLE_GRADE
from raydr.metrics.comparison import AucDifference, auc_difference

ONE_DATASET = "images"
"""The data set of images that no table assigns to one."""


@dataclass(frozen=True, slots=True, eq=False)
class PairedScores:
    """Graded images that both models scored, one row an image; all arrays have the same length."""

    image_id: NDArray[np.str_]
    dataset: NDArray[np.str_]
    patient: NDArray[np.str_]
    grade: NDArray[np.int64]
    first: NDArray[np.float64]
    """Probabilities of the first model."""
    second: NDArray[np.float64]

    @property
    def truth(self) -> NDArray[np.bool_]:
        """Whether an image is referable."""
        return self.grade >= REFERABLE_GRADE

    def of(self, dataset: str) -> "PairedScores":
        """The images of one data set."""
        own = self.dataset == dataset
        columns = {field.name: getattr(self, field.name)[own] for field in fields(self)}
        return PairedScores(**columns)

    def difference(self, *, level: float = 0.95) -> AucDifference:
        """The first model's AUC less the second one's, with an interval over patients."""
        return auc_difference(self.truth, self.first, self.second, self.patient, level=level)


@dataclass(frozen=True, slots=True)
class Pairing:
    """What two tables have in common, and how many of their rows are left out of it."""

    scores: PairedScores
    num_only_first: int
    """Images that the second table does not have."""
    num_only_second: int
    num_ungraded: int
    """Shared images without a grade."""
    num_unscored: int
    """Shared images with a grade that one of the models could not read."""
    has_patients: bool
    """Whether a table names patients; else every image is one of its own."""


def pair_scores(first: pa.Table, second: pa.Table, *, names: tuple[str, str]) -> Pairing:
    """The images of both tables, matched by ``image_id``, in the first table's order.

    Other columns: ``probability`` (null or NaN: unreadable), ``grade`` (null or -1: none) in one of them at least,
    ``dataset`` and ``patient``, where the first table's rules if it has any.

    Args:
        first: The first model's scores.
        second: The second model's.
        names: What the tables are called in an error.

    Raises:
        InputError: An image stands twice in a table, no image is in both, no table has grades, or the grades of an
            image differ.
    """
    found = [_rows_by_image(table, name) for table, name in zip((first, second), names, strict=True)]
    shared = [image for image in found[0] if image in found[1]]
    if not shared:
        here, there = (repr(next(iter(rows), "nothing")) for rows in reversed(found))
        raise InputError(f"{names[1]}: image_id: none is in {names[0]}; its first is {here}, the first there {there}")
    tables = [
        table.take(pa.array([rows[image] for image in shared], pa.int64()))
        for table, rows in zip((first, second), found, strict=True)
    ]
    image_id = _words(tables[0]["image_id"])
    grade = _grades(tables, image_id, names)
    probability = [pc.fill_null(table["probability"].cast(pa.float64()), np.nan).to_numpy() for table in tables]
    is_graded, is_scored = grade >= 0, np.isfinite(probability[0]) & np.isfinite(probability[1])
    used = is_graded & is_scored
    by_patient, by_dataset = (
        next((table for table in tables if _has(table, column)), None) for column in ("patient", "dataset")
    )
    columns: dict[str, NDArray[Any]] = {
        "image_id": image_id,
        "dataset": np.full(len(shared), ONE_DATASET) if by_dataset is None else _words(by_dataset["dataset"]),
        "patient": _patients(by_patient, image_id),
        "grade": grade,
        "first": probability[0],
        "second": probability[1],
    }
    return Pairing(
        PairedScores(**{name: column[used] for name, column in columns.items()}),
        num_only_first=first.num_rows - len(shared),
        num_only_second=second.num_rows - len(shared),
        num_ungraded=int((~is_graded).sum()),
        num_unscored=int((is_graded & ~is_scored).sum()),
        has_patients=by_patient is not None,
    )


def _has(table: pa.Table, column: str) -> bool:
    return column in table.column_names and bool(table[column].null_count < table.num_rows)


def _rows_by_image(table: pa.Table, name: str) -> dict[str, int]:
    """The row of each image."""
    found: dict[str, int] = {}
    for row, image in enumerate(table["image_id"].to_pylist()):
        if found.setdefault(image, row) != row:
            raise InputError(f"{name}: image_id: {image!r} stands in more than one row")
    return found


def _grades(tables: list[pa.Table], image_id: NDArray[np.str_], names: tuple[str, str]) -> NDArray[np.int64]:
    """The grade of every image, -1 where neither table has one."""
    found = [pc.fill_null(table["grade"].cast(pa.int64()), -1).to_numpy() for table in tables if _has(table, "grade")]
    if not found:
        raise InputError(f"{names[0]}: grade: neither this file nor {names[1]} has grades to compare with")
    first, last = found[0], found[-1]
    differs = (first >= 0) & (last >= 0) & (first != last)
    if differs.any():
        place = int(np.flatnonzero(differs)[0])
        raise InputError(
            f"{names[1]}: grade: image {str(image_id[place])!r} has grade {last[place]} here and grade {first[place]} "
            f"in {names[0]}; of {len(image_id)} shared images {int(differs.sum())} differ"
        )
    grade: NDArray[np.int64] = np.where(first >= 0, first, last)
    return grade


def _patients(table: pa.Table | None, image_id: NDArray[np.str_]) -> NDArray[np.str_]:
    """The patient of every image; an image of nobody known is a patient of its own."""
    own = np.char.add("image:", image_id)
    if table is None:
        return own
    return np.array([name or alone for name, alone in zip(table["patient"].to_pylist(), own, strict=True)], np.str_)


def _words(column: pa.ChunkedArray) -> NDArray[np.str_]:
    return np.array([ONE_DATASET if word is None else word for word in column.to_pylist()], np.str_)


def counted(pairing: Pairing) -> Mapping[str, int]:
    """What is left out, by the names that results use."""
    return {
        "num_only_first": pairing.num_only_first,
        "num_only_second": pairing.num_only_second,
        "num_ungraded": pairing.num_ungraded,
        "num_unscored": pairing.num_unscored,
    }
