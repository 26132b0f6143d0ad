"""A table of scores into figures, data set by data set."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raydr import storage
from raydr.config.stages import EvaluateStage
from raydr.metrics.evaluation import DatasetEvaluation, ScoredImages, evaluate_dataset
from raydr.metrics.operating import OperatingPoint
from raydr.workflows.result import StageResult

_GRADES = [f"grade_{grade}" for grade in range(5)]


def evaluate_scores(
    scores: pa.Table, points: Sequence[OperatingPoint], settings: EvaluateStage, *, seed: int
) -> list[DatasetEvaluation]:
    """The figures of each data set in ``scores`` in the order of its first row.

    Columns: ``image_id``, ``dataset``, ``patient``, ``grade`` (-1: none), ``probability`` (null: unreadable) and,
    where the model knows grades, ``grade_0`` … ``grade_4``.
    """
    return [
        evaluate_dataset(
            name,
            _scored(scores.filter(pc.equal(scores["dataset"], name))),
            points,
            level=settings.level,
            num_resamples=settings.num_resamples,
            seed=seed,
        )
        for name in pc.unique(scores["dataset"]).to_pylist()
    ]


def reread(result: StageResult, settings: EvaluateStage, *, seed: int) -> list[DatasetEvaluation]:
    """The figures of a finished evaluation again, from the scores that it left."""
    points = [OperatingPoint(name, value) for name, value in result.metrics["operating_points"].items()]
    scores = storage.read_table(result.artifacts["scores"])
    return evaluate_scores(scores.filter(pc.not_equal(scores["split"], "val")), points, settings, seed=seed)


def _scored(table: pa.Table) -> ScoredImages:
    def numbers(name: str) -> Any:
        return table[name].to_numpy().astype(np.float64)

    has_grades = _GRADES[0] in table.column_names
    return ScoredImages(
        image_id=np.array(table["image_id"].to_pylist()),
        patient=np.array(table["patient"].to_pylist()),
        grade=table["grade"].to_numpy().astype(np.int64),
        probability=numbers("probability"),
        grade_probability=np.column_stack([numbers(name) for name in _GRADES]) if has_grades else None,
    )
