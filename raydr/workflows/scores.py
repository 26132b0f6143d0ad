"""A table of scores into figures, data set by data set."""

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raydr import storage
from raydr.config.stages import EvaluateStage
from raydr.grades import REFERABLE_GRADE
from raydr.metrics.evaluation import DatasetEvaluation, evaluate_dataset
from raydr.metrics.operating import OperatingPoint, choose_thresholds
from raydr.metrics.recalibration import fit_temperature, log_odds
from raydr.metrics.scored_images import ScoredImages
from raydr.workflows.result import StageResult
from raydr.workflows.scored import GRADES


def evaluate_scores(
    scores: pa.Table, thresholds: Mapping[str, float], settings: EvaluateStage, *, seed: int
) -> list[DatasetEvaluation]:
    """The figures of each test set in ``scores`` (`Scored`) in the order of its first row.

    Rows of the `val` split are no test images; the temperature of calibration comes from them.
    """
    points = [OperatingPoint(name, value) for name, value in thresholds.items()]
    temperature = _temperature(scores)
    tested = scores.filter(pc.invert(_is_validation(scores)))
    return [
        evaluate_dataset(
            name,
            scored_images(tested.filter(pc.equal(tested["dataset"], name))),
            points,
            prevalence=settings.prevalence,
            temperature=temperature,
            level=settings.level,
            num_resamples=settings.num_resamples,
            seed=seed,
        )
        for name in pc.unique(tested["dataset"]).to_pylist()
    ]


def reread(result: StageResult, settings: EvaluateStage, *, seed: int) -> list[DatasetEvaluation]:
    """The figures of a finished evaluation again, from the scores that it left."""
    scores = storage.read_table(result.artifacts["scores"])
    return evaluate_scores(scores, result.metrics["operating_points"], settings, seed=seed)


def chosen_thresholds(scores: pa.Table) -> dict[str, float]:
    """Operating points of the validation images in ``scores``; none where there is one class only."""
    grade, probability = _validation(scores)
    return choose_thresholds(grade >= REFERABLE_GRADE, probability) if len(grade) else {}


def _temperature(scores: pa.Table) -> float | None:
    """Of the validation images; None where they do not give one."""
    grade, probability = _validation(scores)
    found = fit_temperature(grade >= REFERABLE_GRADE, log_odds(probability))
    return found if math.isfinite(found) else None


def _validation(scores: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Grade and probability of the validation images that have both."""
    images = scored_images(scores.filter(_is_validation(scores)))
    used = (images.grade >= 0) & np.isfinite(images.probability)
    return images.grade[used], images.probability[used]


def _is_validation(scores: pa.Table) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(scores["split"], "val"), False)  # noqa: FBT003  # pyarrow's own


def scored_images(table: pa.Table) -> ScoredImages:
    """The rows of a table of scores (`Scored`) as the metrics take them."""

    def is_known(name: str) -> bool:
        return bool(table[name].null_count < table.num_rows)

    def numbers(name: str) -> NDArray[np.float64]:
        return np.asarray(table[name].to_numpy(), dtype=np.float64)

    def words(name: str) -> NDArray[np.str_]:
        return np.array(pc.fill_null(table[name], "").to_pylist(), dtype=np.str_)

    def flags(name: str) -> NDArray[np.int64]:
        return np.asarray(pc.fill_null(pc.cast(table[name], pa.int64()), -1).to_numpy(), dtype=np.int64)

    has_grades = GRADES[0] in table.column_names
    return ScoredImages(
        image_id=words("image_id"),
        patient=words("patient"),
        grade=flags("grade"),
        probability=numbers("probability"),
        grade_probability=np.column_stack([numbers(name) for name in GRADES]) if has_grades else None,
        has_patient=flags("has_patient") == 1,
        eye=words("eye") if is_known("eye") else None,
        exam=words("exam") if is_known("exam") else None,
        gradable=flags("gradable") != 0 if is_known("gradable") else None,
        quality=numbers("quality") if is_known("quality") else None,
        camera=words("camera") if is_known("camera") else None,
        exam_referable=flags("exam_referable") if is_known("exam_referable") else None,
    )
