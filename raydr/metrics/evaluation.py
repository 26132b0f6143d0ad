"""Everything that is reported about one model on one data set."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raydr.grades import NUM_GRADES, REFERABLE_GRADE
from raydr.metrics.band import RocBand, roc_band
from raydr.metrics.bootstrap import AucInterval, auc_interval
from raydr.metrics.calibration import CalibrationBin, calibration_bins, calibration_error, share
from raydr.metrics.kappa import confusion_matrix, quadratic_kappa
from raydr.metrics.operating import OperatingPoint, PointFigures, Proportion, at_threshold
from raydr.metrics.roc import Floats, RocCurve, roc_curve
from raydr.metrics.scored_images import ScoredImages

NUM_SCORE_BINS = 25


@dataclass(frozen=True, slots=True, eq=False)
class DatasetEvaluation:
    """What one model does on one data set.

    ``num_images = auc.num_images + num_ungraded + num_unscored``: every image is either in the figures or counted.
    """

    name: str
    auc: AucInterval
    points: tuple[tuple[str, PointFigures], ...]
    kappa: float | None
    """Quadratic, of the most probable grade; None unless the model has five grades and so have the labels."""
    confusion: NDArray[np.int64] | None
    """Images [true grade, most probable grade]; None for a binary model."""
    roc: RocCurve | None
    """None, as the band is, where only one class is present."""
    band: RocBand | None
    calibration: tuple[CalibrationBin, ...]
    calibration_error: float
    brier: float
    histogram: NDArray[np.int64]
    """Images [true grade, score bin], the bins of equal width between 0 and 1."""
    sensitivity_by_grade: tuple[Proportion, ...] | None
    """Share of the images of each true grade that are called referable at Youden's point; None without that point."""
    num_images: int
    num_ungraded: int
    num_unscored: int
    """Images with a grade but without a score."""
    num_without_patient: int = 0
    """Images whose patient is not known; each counts as a patient of its own."""


def evaluate_dataset(
    name: str,
    scored: ScoredImages,
    points: Sequence[OperatingPoint],
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    num_band_resamples: int = 500,
    seed: int = 0,
) -> DatasetEvaluation:
    """The evaluation of a model on a data set, at operating points that were chosen on another one.

    Images without a grade or without a score are counted and left out. With one class only, AUC and the shares that
    need the other class are NaN and the curve is None.
    """
    is_graded, is_scored = scored.grade >= 0, np.isfinite(scored.probability)
    used = is_graded & is_scored
    grade, probability, patient = scored.grade[used], scored.probability[used], scored.patient[used]
    truth = grade >= REFERABLE_GRADE
    confusion = kappa = None
    if scored.grade_probability is not None:
        predicted = scored.grade_probability[used].argmax(axis=1)
        confusion = confusion_matrix(grade, predicted, NUM_GRADES)
        if (confusion.sum(axis=1) > 0).all():
            kappa = quadratic_kappa(grade, predicted, NUM_GRADES)
    has_both = bool(truth.any() and not truth.all())
    youden = next((point.threshold for point in points if point.name == "youden"), math.nan)
    bins = calibration_bins(truth, probability, patient)
    return DatasetEvaluation(
        name=name,
        auc=auc_interval(truth, probability, patient, level=level, num_resamples=num_resamples, seed=seed),
        points=tuple(
            (point.name, at_threshold(truth, probability, point.threshold, patients=patient)) for point in points
        ),
        kappa=kappa,
        confusion=confusion,
        roc=roc_curve(truth, probability) if has_both else None,
        band=roc_band(truth, probability, patient, level=level, num_resamples=num_band_resamples, seed=seed)
        if has_both
        else None,
        calibration=bins,
        calibration_error=calibration_error(bins),
        brier=float(((probability - truth) ** 2).mean()) if len(truth) else math.nan,
        histogram=_score_histogram(grade, probability),
        sensitivity_by_grade=None if math.isnan(youden) else _called_by_grade(grade, probability >= youden, patient),
        num_images=len(scored.grade),
        num_ungraded=int((~is_graded).sum()),
        num_unscored=int((is_graded & ~is_scored).sum()),
        num_without_patient=0 if scored.has_patient is None else int((~scored.has_patient).sum()),
    )


def as_json(evaluation: DatasetEvaluation) -> dict[str, Any]:
    """The evaluation as plain values for a file, null where a figure is not defined; ``auc`` as in result.json."""
    band = evaluation.band
    by_grade = evaluation.sensitivity_by_grade
    plain = {
        "name": evaluation.name,
        "auc": asdict(evaluation.auc),
        "num_images": evaluation.num_images,
        "num_ungraded": evaluation.num_ungraded,
        "num_unscored": evaluation.num_unscored,
        "num_without_patient": evaluation.num_without_patient,
        "operating_points": {name: asdict(figures) for name, figures in evaluation.points},
        "sensitivity_by_grade": None if by_grade is None else [asdict(entry) for entry in by_grade],
        "kappa": evaluation.kappa,
        "confusion": None if evaluation.confusion is None else evaluation.confusion.tolist(),
        "calibration_error": evaluation.calibration_error,
        "brier": evaluation.brier,
        "calibration": [asdict(entry) for entry in evaluation.calibration],
        "roc": None
        if band is None
        else {
            "false_positive_rate": band.false_positive_rate.tolist(),
            "sensitivity": band.sensitivity.tolist(),
            "low": band.low.tolist(),
            "high": band.high.tolist(),
            "level": band.level,
        },
    }
    return {key: _null_for_nan(value) for key, value in plain.items()}


def _null_for_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _null_for_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_null_for_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _score_histogram(grade: NDArray[np.int64], probability: Floats) -> NDArray[np.int64]:
    place = np.minimum((probability * NUM_SCORE_BINS).astype(np.int64), NUM_SCORE_BINS - 1)
    counts = np.bincount(grade * NUM_SCORE_BINS + place, minlength=NUM_GRADES * NUM_SCORE_BINS)
    return counts.reshape(NUM_GRADES, NUM_SCORE_BINS).astype(np.int64)


def _called_by_grade(
    grade: NDArray[np.int64], is_called: NDArray[np.bool_], patient: NDArray[np.str_]
) -> tuple[Proportion, ...]:
    return tuple(share(is_called[grade == each], patient[grade == each]) for each in range(NUM_GRADES))
