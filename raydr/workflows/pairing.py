"""Two models' scores of the same images side by side: what a paired comparison needs."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raydr.errors import InputError
from raydr.metrics.comparison import AucDifference, auc_difference, bootstrap_auc_difference
from raydr.metrics.judged import Judged, judged_images
from raydr.metrics.scored_images import ScoredImages

ONE_DATASET = "images"
"""The data set of images that no table assigns to one."""


@dataclass(frozen=True, slots=True, eq=False)
class PairedScores:
    """Images that have a truth and that both models scored, one row an image; all arrays have the same length."""

    image_id: NDArray[np.str_]
    dataset: NDArray[np.str_]
    patient: NDArray[np.str_]
    grade: NDArray[np.int64]
    """-1 where the truth is that of the image's exam."""
    exam: NDArray[np.str_]
    """Empty where unknown."""
    exam_referable: NDArray[np.int64]
    """1 and 0, -1 where the exam has no reference."""
    first: NDArray[np.float64]
    """Probabilities of the first model."""
    second: NDArray[np.float64]

    def of(self, dataset: str) -> "PairedScores":
        """The images of one data set."""
        own = self.dataset == dataset
        columns = {field.name: getattr(self, field.name)[own] for field in fields(self)}
        return PairedScores(**columns)

    def judged(self) -> tuple[Judged, Judged]:
        """Either model's scores of what has a truth: images, or exams where no image of the data set has a grade."""
        return self._judged(self.first), self._judged(self.second)

    def difference(
        self, *, level: float = 0.95, method: Literal["delong", "bootstrap"] = "delong", seed: int = 0
    ) -> AucDifference:
        """The first model's AUC less the second one's, with an interval over patients.

        ``num_images`` counts images, ``num_positive`` what is referable of that which was judged.
        """
        first, second = self.judged()
        by = auc_difference if method == "delong" else functools.partial(bootstrap_auc_difference, seed=seed)
        found = by(first.is_referable, first.probability, second.probability, first.patient, level=level)
        return replace(found, num_images=first.num_images)

    def _judged(self, probability: NDArray[np.float64]) -> Judged:
        scored = ScoredImages(
            self.image_id,
            self.patient,
            self.grade,
            probability,
            exam=self.exam,
            exam_referable=self.exam_referable,
        )
        return judged_images(scored)


@dataclass(frozen=True, slots=True)
class Pairing:
    """What two tables have in common, and how many of their rows are left out of it."""

    scores: PairedScores
    num_only_first: int
    """Images that the second table does not have."""
    num_only_second: int
    num_ungraded: int
    """Shared images without a truth: a grade, or a reference of their exam where the data set has no grades."""
    num_unscored: int
    """Shared images with a truth that one of the models could not read."""
    has_patients: bool
    """Whether a table names patients or exams; else every image is a patient of its own."""


def pair_scores(first: pa.Table, second: pa.Table, *, names: tuple[str, str]) -> Pairing:
    """The images of both tables, matched by ``image_id``, in the first table's order.

    Other columns: ``probability`` (null or NaN: unreadable); in one of them at least ``grade`` (null or -1: none) or
    ``exam_referable`` (null: no reference) with ``exam``; ``dataset``, ``patient`` and ``exam``, where the first
    table's rules if it has any.

    Args:
        first: The first model's scores.
        second: The second model's.
        names: What the tables are called in an error.

    Raises:
        InputError: An image stands twice in a table, no image is in both, no table has grades or exams with a
            reference, or those of an image differ.
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
    image_id = np.array(shared, np.str_)
    if not any(_has(table, column) for table in tables for column in ("grade", "exam_referable")):
        raise InputError(
            f"{names[0]}: grade: neither this file nor {names[1]} has grades, or exams with a reference; add a column"
        )
    grade, exam_referable = (_agreed(column, tables, image_id, names) for column in ("grade", "exam_referable"))
    dataset, exam = _words("dataset", tables, ONE_DATASET), _words("exam", tables, "")
    probability = [pc.fill_null(table["probability"].cast(pa.float64()), np.nan).to_numpy() for table in tables]
    has_truth = _has_truth(dataset, grade, (exam_referable >= 0) & (exam != ""))
    is_scored = np.isfinite(probability[0]) & np.isfinite(probability[1])
    used = has_truth & is_scored
    columns: dict[str, NDArray[Any]] = {
        "image_id": image_id,
        "dataset": dataset,
        "patient": _patients(_words("patient", tables, ""), exam, image_id),
        "grade": grade,
        "exam": exam,
        "exam_referable": exam_referable,
        "first": probability[0],
        "second": probability[1],
    }
    return Pairing(
        PairedScores(**{name: column[used] for name, column in columns.items()}),
        num_only_first=first.num_rows - len(shared),
        num_only_second=second.num_rows - len(shared),
        num_ungraded=int((~has_truth).sum()),
        num_unscored=int((has_truth & ~is_scored).sum()),
        has_patients=any(_has(table, column) for table in tables for column in ("patient", "exam")),
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


def _agreed(
    column: str, tables: list[pa.Table], image_id: NDArray[np.str_], names: tuple[str, str]
) -> NDArray[np.int64]:
    """What the tables say of every image, -1 where neither says anything."""
    found = [pc.fill_null(table[column].cast(pa.int64()), -1).to_numpy() for table in tables if _has(table, column)]
    if not found:
        return np.full(len(image_id), -1, dtype=np.int64)
    first, last = found[0], found[-1]
    differs = (first >= 0) & (last >= 0) & (first != last)
    if differs.any():
        place = int(np.flatnonzero(differs)[0])
        raise InputError(
            f"{names[1]}: {column}: image {str(image_id[place])!r} has {column} {last[place]} here and {column} "
            f"{first[place]} in {names[0]}; of {len(image_id)} shared images {int(differs.sum())} differ"
        )
    agreed: NDArray[np.int64] = np.where(first >= 0, first, last)
    return agreed


def _has_truth(
    dataset: NDArray[np.str_], grade: NDArray[np.int64], has_reference: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether an image has a grade, or its exam a reference where no image of the data set has a grade."""
    is_graded = grade >= 0
    return np.where(np.isin(dataset, dataset[is_graded]), is_graded, has_reference)


def _patients(patient: NDArray[np.str_], exam: NDArray[np.str_], image_id: NDArray[np.str_]) -> NDArray[np.str_]:
    """The patient of every image; an exam, or an image, of nobody known is a patient of its own."""
    alone = np.where(exam == "", np.char.add("image:", image_id), np.char.add("exam:", exam))
    return np.where(patient == "", alone, patient)


def _words(column: str, tables: list[pa.Table], unknown: str) -> NDArray[np.str_]:
    """What the first table that has the column says of every image."""
    for table in tables:
        if _has(table, column):
            return np.array(pc.fill_null(table[column], unknown).to_pylist(), np.str_)
    return np.full(tables[0].num_rows, unknown)


def left_out_counts(pairing: Pairing) -> Mapping[str, int]:
    """What is left out, by the names that results use."""
    return {
        "num_only_first": pairing.num_only_first,
        "num_only_second": pairing.num_only_second,
        "num_ungraded": pairing.num_ungraded,
        "num_unscored": pairing.num_unscored,
    }
