"""The figures of one data set: ROC, precision and recall, calibration, scores by grade, AUC beside other models'."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from raydr.grades import NUM_GRADES, REFERABLE_GRADE
from raydr.metrics.band import RocBand
from raydr.metrics.by_grade import NUM_SCORE_BINS
from raydr.metrics.calibration import CalibrationBin
from raydr.metrics.evaluation import DatasetEvaluation
from raydr.metrics.precision_recall import PrecisionRecallBand, PrecisionRecallCurve
from raydr.metrics.roc import Floats
from raydr.reporting.plot import Axis, Plot, share_axis
from raydr.reporting.wording import call_figures, count, is_defined, matching, point_letter, point_name


def series(place: int) -> str:
    """The style of the model at this place of the report; the first one stands out."""
    return f"model-{min(place, 2)}"


def roc(models: Mapping[str, Sequence[DatasetEvaluation]], name: str, *, place: int = 0) -> Markup | None:
    """Every model's ROC curve on a data set, the first with band and operating points; None where none has one.

    ``place`` is the data set's in the report.
    """
    found = [matching(evaluations, name) for evaluations in models.values()]
    if not any(entry is not None and entry.roc is not None for entry in found):
        return None
    plot = Plot(
        share_axis("False positive rate (1 − specificity)", short="False positive rate"),
        share_axis("Sensitivity"),
        f"ROC curves on {name}",
        note="Threshold",
    )
    plot.segment((0, 0), (1, 1), "chance")
    first = found[0]
    if first is not None and first.band is not None:
        _band(plot, first.band.false_positive_rate, first.band)
    for row, (model, entry) in reversed(list(enumerate(zip(models, found, strict=True)))):
        if entry is not None and entry.roc is not None:
            curve = zip(entry.roc.false_positive_rate.tolist(), entry.roc.sensitivity.tolist(), strict=True)
            plot.line(curve, f"curve {series(row)}", name=model, notes=entry.roc.threshold.tolist())
    if first is not None:
        spots = [(1 - figures.specificity.value, figures.sensitivity.value) for _, figures in first.points]
        _operating_points(plot, first, spots)
        plot.cursor("roc", place)
    return plot.svg()


def precision_recall(models: Mapping[str, Sequence[DatasetEvaluation]], name: str, *, place: int = 0) -> Markup | None:
    """Every model's precision against its sensitivity, drawn as `roc` is; None where none has such a curve."""
    found = [matching(evaluations, name) for evaluations in models.values()]
    if not any(entry is not None and entry.precision_recall is not None for entry in found):
        return None
    plot = Plot(
        share_axis("Sensitivity (recall)", short="Sensitivity"),
        share_axis("Positive predictive value (precision)", short="PPV"),
        f"Precision and recall on {name}",
        note="Threshold",
    )
    first = found[0]
    if first is not None and first.auc.num_images:
        share = first.auc.num_positive / first.auc.num_images
        plot.segment((0, share), (1, share), "chance")
    if first is not None and first.precision_recall_band is not None:
        _band(plot, first.precision_recall_band.recall, first.precision_recall_band)
    for row, (model, entry) in reversed(list(enumerate(zip(models, found, strict=True)))):
        if entry is not None and entry.precision_recall is not None:
            _steps(plot, entry.precision_recall, series(row), model)
    if first is not None:
        spots = [(figures.sensitivity.value, figures.ppv.value) for _, figures in first.points]
        _operating_points(plot, first, spots)
        plot.cursor("precision", place)
    return plot.svg()


def _steps(plot: Plot, curve: PrecisionRecallCurve, style: str, name: str) -> None:
    """Precision between two recalls is that of the higher one; only the corners are there to be read."""
    recall, precision = curve.recall.tolist(), curve.precision.tolist()
    points = list(zip(recall, precision, strict=True))
    corners = zip([0.0, *recall], precision, strict=False)
    plot.line([place for pair in zip(corners, points, strict=True) for place in pair], f"curve {style}")
    plot.line(points, f"unseen {style}", name=name, notes=curve.threshold.tolist())


def _band(plot: Plot, across: Floats, band: RocBand | PrecisionRecallBand) -> None:
    rates, low, high = across.tolist(), band.low.tolist(), band.high.tolist()
    plot.area(zip(rates, low, strict=True), zip(rates, high, strict=True), f"band {series(0)}")


def _operating_points(plot: Plot, evaluation: DatasetEvaluation, spots: Sequence[tuple[float, float]]) -> None:
    shown = [
        (x, y, point_letter(place), f"{point_name(name)}: {call_figures(figures)}")
        for place, ((name, figures), (x, y)) in enumerate(zip(evaluation.points, spots, strict=True))
        if is_defined(x) and is_defined(y)
    ]
    plot.badges(shown, f"point {series(0)}")


def calibration(evaluation: DatasetEvaluation) -> Markup | None:
    """Observed share of referable images against the mean probability, with intervals and where the images are.

    Where the model was scaled by a temperature, also after it.
    """
    summary, scaled = evaluation.calibration, evaluation.scaled_calibration
    if not summary.bins:
        return None
    plot = Plot(
        share_axis("Mean predicted probability"),
        share_axis("Observed share referable"),
        f"Calibration on {evaluation.name}",
    )
    plot.segment((0, 0), (1, 1), "chance")
    largest = max(entry.num_images for entry in summary.bins)
    for entry in summary.bins:
        height = 0.14 * entry.num_images / largest
        low, high = entry.low + 0.006, entry.high - 0.006
        plot.area([(low, 0), (high, 0)], [(low, height), (high, height)], "amount")
    if scaled is not None:
        _observed(plot, scaled.bins, series(1), "after scaling: ")
    _observed(plot, summary.bins, series(0), "")
    return plot.svg()


def _observed(plot: Plot, bins: Sequence[CalibrationBin], style: str, said_of: str) -> None:
    plot.line([(entry.mean_probability, entry.observed.value) for entry in bins], f"curve {style}")
    for entry in bins:
        said, observed = entry.mean_probability, entry.observed
        plot.segment((said, observed.low), (said, observed.high), f"whisker {style}")
        title = f"{said_of}{count(entry.num_images)} images, predicted {said:.3f}, observed {observed}"
        plot.dot(said, observed.value, f"mark {style}", title=title)


def scores_by_grade(evaluation: DatasetEvaluation, *, place: int = 0) -> Markup | None:
    """A histogram of the probabilities for each true grade, one above the other, with the operating points."""
    histogram = evaluation.histogram
    if not histogram.sum():
        return None
    rows = Axis(0, NUM_GRADES + 0.1, "True grade and number of images", ())
    plot = Plot(share_axis("Predicted probability of referable DR"), rows, f"Scores by grade on {evaluation.name}")
    for grade in range(NUM_GRADES):
        counts = histogram[grade].tolist()
        total = sum(counts)
        plot.segment((0, grade), (1, grade), "baseline")
        plot.text(0, grade, str(grade), "strong end", shift=(-8, -20))
        plot.text(0, grade, count(total), "tick end", shift=(-8, -5))
        if total:
            tops = [(place, grade + 0.86 * value / max(counts)) for place, value in enumerate(counts)]
            outline = [(edge / NUM_SCORE_BINS, top) for place, top in tops for edge in (place, place + 1)]
            kind = "referable" if grade >= REFERABLE_GRADE else "harmless"
            plot.area([(x, float(grade)) for x, _ in outline], outline, f"hill {kind} grade-{grade}")
    spots = []
    for row, (name, figures) in enumerate(evaluation.points):
        if is_defined(figures.threshold) and 0 <= figures.threshold <= 1:
            plot.segment((figures.threshold, 0), (figures.threshold, NUM_GRADES), "threshold")
            title = f"{point_name(name)}: {figures.threshold:.3f}"
            spots.append((figures.threshold, NUM_GRADES, point_letter(row), title))
    plot.cursor("scores", place, is_upright=True)
    plot.badges(spots, f"point {series(0)}")
    return plot.svg()


def auc_strip(models: Mapping[str, Sequence[DatasetEvaluation]], name: str) -> Markup | None:
    """Every model's AUC interval on a data set, one below the other; all data sets share the axis. None without any."""
    found = [matching(evaluations, name) for evaluations in models.values()]
    aucs = [(place, entry.auc) for place, entry in enumerate(found) if entry and is_defined(entry.auc.value)]
    if not aucs:
        return None
    width, line, side, low = 300.0, 16.0, 10.0, _lowest_auc(models)
    height = line * len(aucs) + 22

    def across(value: float) -> float:
        return side + (width - 2 * side) * (value - low) / (1 - low)

    parts = []
    for tenth in range(round(low * 10), 11):
        tick = Markup(
            '<line class="grid" x1="{0:.1f}" y1="0" x2="{0:.1f}" y2="{1:.0f}"/>'
            '<text class="tick middle" x="{0:.1f}" y="{2:.0f}">{3:.1f}</text>'
        )
        parts.append(tick.format(across(tenth / 10), height - 18, height - 4, tenth / 10))
    for row, (place, auc) in enumerate(aucs):
        bar = Markup(
            '<line class="whisker {0}" x1="{1:.1f}" y1="{2:g}" x2="{3:.1f}" y2="{2:g}"/>'
            '<circle class="mark {0}" cx="{4:.1f}" cy="{2:g}" r="4.5"><title>{5}</title></circle>'
        )
        top = line * row + line / 2
        parts.append(bar.format(series(place), across(auc.low), top, across(auc.high), across(auc.value), str(auc)))
    words = ", ".join(str(auc) for _, auc in aucs)
    return Markup('<svg class="strip" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="AUC {}">{}</svg>').format(
        width, height, words, Markup("").join(parts)
    )


def _lowest_auc(models: Mapping[str, Sequence[DatasetEvaluation]]) -> float:
    """Where the shared AUC axis starts: a round tenth below every interval, at most 0.5."""
    lows = [entry.auc.low for evaluations in models.values() for entry in evaluations if is_defined(entry.auc.low)]
    return min(0.5, math.floor(10 * min(lows, default=0.5)) / 10)
