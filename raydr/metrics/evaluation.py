"""Everything that is reported about one model on one data set."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raydr.grades import NUM_GRADES
from raydr.metrics.band import RocBand, roc_band
from raydr.metrics.bootstrap import AucInterval, auc_interval
from raydr.metrics.by_grade import MissedImages, missed_images, score_histogram, sensitivity_of_grades
from raydr.metrics.calibration_summary import CalibrationSummary, calibration_summary
from raydr.metrics.estimate import Estimate
from raydr.metrics.factors import factors_of
from raydr.metrics.judged import Judged, judged_images
from raydr.metrics.kappa import confusion_matrix, kappa_interval
from raydr.metrics.level_figures import LevelFigures, level_figures
from raydr.metrics.levels import Level
from raydr.metrics.operating import (
    OperatingPoint,
    PointFigures,
    PredictiveValues,
    Proportion,
    at_threshold,
    predictive_values_at,
)
from raydr.metrics.precision_recall import (
    PrecisionRecallBand,
    PrecisionRecallCurve,
    average_precision_interval,
    precision_recall_band,
    precision_recall_curve,
)
from raydr.metrics.recalibration import apply_temperature
from raydr.metrics.roc import Floats, RocCurve, roc_curve
from raydr.metrics.scored_images import ScoredImages
from raydr.metrics.subgroups import Subgroup, subgroups
from raydr.metrics.ungradable import UngradableWay, ungradable_ways


@dataclass(frozen=True, slots=True, eq=False)
class DatasetEvaluation:
    """What one model does on one data set.

    ``num_images = auc.num_images + num_ungraded + num_unscored``: every image is either in the figures or counted.
    """

    name: str
    unit: Level
    """What was judged: `image`, or `exam` where exams have a reference and images have no grades. Then every figure is
    of exams, each with the largest probability of its images, but for ``auc.num_images``; there are none by grade."""
    auc: AucInterval
    """Its interval is of a bootstrap that resamples patients."""
    average_precision: Estimate
    levels: Mapping[Level, LevelFigures]
    """By what is judged: images, and eyes, exams and patients where some have several images."""
    main_point: str | None
    """The operating point of the figures by grade and by group: Youden's, or else the first; None without any."""
    points: tuple[tuple[str, PointFigures], ...]
    predictive: tuple[tuple[str, PredictiveValues], ...]
    """PPV and NPV of each point at a stated prevalence; empty where none was stated."""
    kappa: Estimate | None
    """Quadratic, of the most probable grade; None unless the model has five grades and so have the labels."""
    confusion: NDArray[np.int64] | None
    """Images [true grade, most probable grade]; None for a binary model."""
    roc: RocCurve | None
    """None, as the band and precision against recall are, where only one class is present."""
    band: RocBand | None
    precision_recall: PrecisionRecallCurve | None
    precision_recall_band: PrecisionRecallBand | None
    calibration: CalibrationSummary
    temperature: float | None
    """Fitted on the validation images; None where there are none of both classes."""
    scaled_calibration: CalibrationSummary | None
    """After the log odds were divided by ``temperature``."""
    histogram: NDArray[np.int64]
    """Images [true grade, score bin], the bins of equal width between 0 and 1."""
    scores_by_grade: tuple[Floats, ...]
    """The probabilities of each true grade's images, rising."""
    scores_by_class: tuple[Floats, Floats]
    """Those of what is not referable and of what is, rising: of images or of exams."""
    sensitivity_by_grade: tuple[Proportion, ...] | None
    """Share of the images of each true grade that are called referable at ``main_point``; None without one."""
    missed_by_grade: Mapping[int, MissedImages] | None
    """The images of each referable grade that are not called at ``main_point``; None without one."""
    subgroups: tuple[Subgroup, ...]
    """By eye, quality and camera, as far as they are known, at ``main_point``."""
    ungradable: tuple[UngradableWay, ...]
    """Images that cannot be graded, counted in three ways, at ``main_point``; empty where it is not known which do."""
    num_images: int
    num_ungraded: int
    num_unscored: int
    """Images with a grade but without a score."""
    num_without_patient: int
    """Images whose patient is not known; each counts as a patient of its own."""


def evaluate_dataset(  # noqa: PLR0913 - what was chosen elsewhere, and how intervals are made
    name: str,
    scored: ScoredImages,
    points: Sequence[OperatingPoint],
    *,
    prevalence: float | None = None,
    temperature: float | None = None,
    level: float = 0.95,
    num_resamples: int = 2000,
    num_band_resamples: int = 500,
    seed: int = 0,
) -> DatasetEvaluation:
    """The evaluation of a model on a data set, at operating points that were chosen on another one.

    Images without a grade or without a score are counted and left out. With one class only, AUC and the shares that
    need the other class are NaN and the curves are None.

    Args:
        name: The data set's.
        scored: Its images.
        points: Thresholds that were chosen elsewhere.
        prevalence: Share of referable images where the model is to be used, between 0 and 1.
        temperature: Fitted elsewhere; calibration is given with and without it.
        level: Of the intervals.
        num_resamples: Of patients, behind AUC, average precision and kappa.
        num_band_resamples: The same for the curves' bands.
        seed: Of every resampling.
    """
    judged = judged_images(scored)
    truth, probability, patient = judged.is_referable, judged.probability, judged.patient
    by_patient: dict[str, Any] = {"level": level, "num_resamples": num_resamples, "seed": seed}
    bands: dict[str, Any] = {**by_patient, "num_resamples": num_band_resamples}
    has_both = bool(truth.any() and not truth.all())
    figures = tuple(
        (point.name, at_threshold(truth, probability, point.threshold, patients=patient, level=level))
        for point in points
    )
    main = _main_point(points)
    auc = auc_interval(truth, probability, patient, **by_patient)
    confusion, kappa = _agreement(judged, by_patient)
    return DatasetEvaluation(
        name=name,
        unit=judged.unit,
        auc=dataclasses.replace(auc, num_images=judged.num_images),
        average_precision=average_precision_interval(truth, probability, patient, **by_patient),
        levels=level_figures(scored, judged, auc, **by_patient),
        main_point=None if main is None else main.name,
        points=figures,
        predictive=tuple(
            (point, predictive_values_at(prevalence, found.sensitivity, found.specificity)) for point, found in figures
        )
        if prevalence is not None
        else (),
        kappa=kappa,
        confusion=confusion,
        roc=roc_curve(truth, probability) if has_both else None,
        band=roc_band(truth, probability, patient, **bands) if has_both else None,
        precision_recall=precision_recall_curve(truth, probability) if has_both else None,
        precision_recall_band=precision_recall_band(truth, probability, patient, **bands) if has_both else None,
        calibration=calibration_summary(truth, probability, patient, level=level),
        temperature=temperature,
        scaled_calibration=None
        if temperature is None
        else calibration_summary(truth, apply_temperature(probability, temperature), patient, level=level),
        histogram=score_histogram(judged.grade, probability),
        scores_by_grade=tuple(np.sort(probability[judged.grade == each]) for each in range(NUM_GRADES)),
        scores_by_class=(np.sort(probability[~truth]), np.sort(probability[truth])),
        sensitivity_by_grade=None if main is None else sensitivity_of_grades(judged, main.threshold, level=level),
        missed_by_grade=None if main is None else missed_images(judged, main.threshold),
        subgroups=_subgroups(scored, judged, main, level=level),
        ungradable=()
        if scored.gradable is None or judged.unit != "image"
        else ungradable_ways(
            scored.grade, scored.probability, scored.gradable, scored.patient, _threshold(main), **by_patient
        ),
        num_images=len(scored.grade),
        num_ungraded=judged.num_ungraded,
        num_unscored=judged.num_unscored,
        num_without_patient=0 if scored.has_patient is None else int((~scored.has_patient).sum()),
    )


def _main_point(points: Sequence[OperatingPoint]) -> OperatingPoint | None:
    usable = [point for point in points if math.isfinite(point.threshold)]
    return next((point for point in usable if point.name == "youden"), usable[0] if usable else None)


def _threshold(point: OperatingPoint | None) -> float:
    return math.nan if point is None else point.threshold


def _subgroups(
    scored: ScoredImages, judged: Judged, main: OperatingPoint | None, *, level: float
) -> tuple[Subgroup, ...]:
    if judged.unit != "image":
        return ()
    factors = factors_of(scored.take((scored.grade >= 0) & np.isfinite(scored.probability)))
    return subgroups(factors, judged.is_referable, judged.probability, judged.patient, _threshold(main), level=level)


def _agreement(judged: Judged, by_patient: Mapping[str, Any]) -> tuple[NDArray[np.int64] | None, Estimate | None]:
    """Confusion and kappa of the most probable grades."""
    if judged.grade_probability is None:
        return None, None
    predicted = judged.grade_probability.argmax(axis=1)
    confusion = confusion_matrix(judged.grade, predicted, NUM_GRADES)
    if not (confusion.sum(axis=1) > 0).all():
        return confusion, None
    return confusion, kappa_interval(judged.grade, predicted, judged.patient, **by_patient)
