"""What a run knows that reporting checklists ask for, as sentences by name."""

from collections.abc import Mapping, Sequence

from raydr.metrics.evaluation import DatasetEvaluation
from raydr.reporting.model_facts import ModelFacts
from raydr.reporting.report import Report
from raydr.reporting.wording import (
    UNGRADABLE_WAYS,
    call_figures,
    composition,
    counted,
    is_defined,
    left_out,
    missed,
    number,
    point_name,
    quoted,
)

USE = (
    "Research on screening for referable diabetic retinopathy. Research use only, not a medical device: "
    "its scores must not be used for the care of a patient."
)
OUTCOME = "Referable diabetic retinopathy: ICDR grade 2 (moderate) or above, as graded in the data sets' own labels."
LIMITS = (
    "One photograph is judged at a time; other diseases of the eye are not looked for; the figures hold for the "
    "data sets named here."
)


def facts(report: Report) -> dict[str, str]:
    """All that is known, one or more sentences each; what is not known is not there."""
    first = next(iter(report.models.values()), ())
    found = {
        **_task(report),
        **_data(report),
        **(_model(report.about) if report.about else {}),
        **_training(report),
        **_results(report, first),
        "limits": LIMITS if report.about else "The figures hold for the data sets named here.",
    }
    return {name: words for name, words in found.items() if words}


def _task(report: Report) -> dict[str, str]:
    is_developed = bool(report.stages)
    return {
        "task": "Detection of referable diabetic retinopathy in colour fundus photographs.",
        "kind": "Development and evaluation." if is_developed else "Evaluation of a model that was there before.",
        "use": USE,
        "outcome": OUTCOME,
        "technology": _technology(report, is_developed=is_developed),
        "settings": "Every setting is in the report." if report.settings else "",
    }


def _technology(report: Report, *, is_developed: bool) -> str:
    """What kind of model it is; nothing where scores came without one."""
    if report.about is None:
        return ""
    how = ", by self-supervised pretraining, fine-tuning on few labels and distillation." if is_developed else "."
    return f"Deep learning: a neural network that classifies images{how}"


def _data(report: Report) -> dict[str, str]:
    rows = [
        f"{row['dataset']} ({row['split']}): {counted(int(row['images']), 'image')} of "
        f"{counted(int(row['patients']), 'patient')}"
        for row in report.data
    ]
    grades = [
        f"{row['dataset']} ({row['split']}): images of grade 0 to 4: "
        + ", ".join(str(row[f"grade_{grade}"]) for grade in range(5))
        for row in report.data
    ]
    splits = [name for name in ("train", "val", "test", "external") if any(row["split"] == name for row in report.data)]
    return {
        "data": _sentences(rows),
        "grades": _sentences(grades),
        "partition": f"Splits: {', '.join(splits)}. {report.thresholds_from}" if splits else "",
        "disjoint": "Images were parted by patient; the leak audit:" if report.audit else "",
        "audit": _sentences(report.audit),
        "budget": report.budget and f"{report.budget}.",
    }


def _model(about: ModelFacts) -> dict[str, str]:
    crop = "the square around the retina is cut out" if about.crop else "the whole picture is padded to a square"
    enhanced = "" if about.enhance == "none" else f", enhanced ({about.enhance})"
    output = "the probability of referable retinopathy"
    if about.has_grades:
        output += " and of each of the five grades"
    chosen = ", ".join(f"{point_name(name)} at {number(value)}" for name, value in about.thresholds.items())
    return {
        "model": f"{about.backbone} (timm) with a linear head for {output}.",
        "input": f"One colour fundus photograph, {about.side_px} x {about.side_px} pixels; no other predictor.",
        "output": f"The network's output is {output}, between 0 and 1.",
        "preprocessing": f"Decoded, {crop}, resized to {about.side_px} pixels{enhanced}; no image is changed by hand.",
        "thresholds": f"Chosen on the validation patients: {chosen}." if chosen else "",
        "start": about.start,
        "selection": about.selection,
        "ensemble": about.ensemble,
    }


def _training(report: Report) -> dict[str, str]:
    software = ", ".join(f"{name} {version}" for name, version in report.environment.items())
    return {
        "training": _sentences(report.about.training) if report.about else "",
        "software": f"{software}." if software and report.about else f"Of the figures: {software}." if software else "",
        "digests": _sentences([f"{name} {digest}" for name, digest in report.digests.items()]),
    }


def _results(report: Report, evaluations: Sequence[DatasetEvaluation]) -> dict[str, str]:
    if not evaluations:
        return {}
    level = f"{evaluations[0].auc.level * 100:g} %"
    aucs = {found.name: f"{found.name}: AUC {found.auc}" for found in evaluations if is_defined(found.auc.value)}
    pictures = [*report.worst_errors, *report.highest_scored]
    return {
        "sample": _sentences([f"{found.name}: {composition(found)}" for found in evaluations]),
        "missing": _sentences([f"{found.name}: {words}" for found in evaluations if (words := left_out(found))])
        or "Images without a grade or that cannot be read are counted and left out; here there was none.",
        "metrics": "AUC, average precision, sensitivity, specificity and predictive values at thresholds chosen "
        "beforehand, calibration, and quadratic kappa where the model gives grades.",
        "uncertainty": f"{level} intervals: of AUC by a bootstrap that resamples patients, of shares by Wilson's with "
        "the design effect of several images of a patient.",
        "auc": _sentences(list(aucs.values())),
        "points": _sentences(_points(evaluations)),
        "subgroups": _sentences(_groups(evaluations)),
        "clusters": f"By data set: {_sentences(list(aucs.values()))}" if len(aucs) > 1 else "",
        "quality": _sentences(_ungradable(evaluations)),
        **_calibration(evaluations),
        "heat_maps": "Heat maps of the shown photographs are in the report."
        if any(picture.heat_map for picture in pictures)
        else "",
        "failures": _failures(report, evaluations),
        **_places(report.internal, aucs),
    }


def _points(evaluations: Sequence[DatasetEvaluation]) -> list[str]:
    return [
        f"{found.name}, {point_name(name)} (threshold {number(figures.threshold)}): {call_figures(figures)}"
        for found in evaluations
        for name, figures in found.points
        if name == found.main_point
    ]


def _places(internal: str, aucs: Mapping[str, str]) -> dict[str, str]:
    if not internal:
        return {}
    return {
        "internal": _sentences([words for name, words in aucs.items() if name == internal]),
        "external": _sentences([words for name, words in aucs.items() if name != internal]),
    }


def _groups(evaluations: Sequence[DatasetEvaluation]) -> list[str]:
    told = []
    for found in evaluations:
        groups = [group for group in found.subgroups if is_defined(group.auc.value)]
        if not groups:
            continue
        worst, best = (pick(groups, key=lambda group: group.auc.value) for pick in (min, max))
        factors = ", ".join(dict.fromkeys(group.factor for group in groups))
        told.append(
            f"{found.name}, {counted(len(groups), 'group')} by {factors}: AUC from {worst.auc} ({worst.factor} "
            f"{worst.group}) to {best.auc} ({best.factor} {best.group})"
        )
    return told


def _ungradable(evaluations: Sequence[DatasetEvaluation]) -> list[str]:
    return [
        f"{found.name}, {UNGRADABLE_WAYS[way.way].lower()}: AUC {way.auc}"
        for found in evaluations
        for way in found.ungradable
        if is_defined(way.auc.value)
    ]


def _calibration(evaluations: Sequence[DatasetEvaluation]) -> dict[str, str]:
    shown = [found for found in evaluations if is_defined(found.calibration.error)]
    scaled = [
        f"{found.name}: calibration error {number(found.calibration.error)} before and "
        f"{number(found.scaled_calibration.error)} after"
        for found in shown
        if found.scaled_calibration
    ]
    plain = [
        f"{found.name}: calibration error {number(found.calibration.error)}, slope {quoted(found.calibration.slope)}, "
        f"intercept {quoted(found.calibration.intercept)}"
        for found in shown
    ]
    temperature = evaluations[0].temperature
    return {
        "calibration": _sentences(plain),
        "updating": f"The model itself was not changed; a temperature of {number(temperature)}, fitted on the "
        f"validation patients, is tried. {_sentences(scaled)}"
        if is_defined(temperature)
        else "The model was not changed after its evaluation.",
    }


def _failures(report: Report, evaluations: Sequence[DatasetEvaluation]) -> str:
    shown = len(report.worst_errors)
    pictures = f"Photographs furthest from their grade are in the report: {shown}. " if shown else ""
    return pictures + " ".join(f"{found.name}: {words}" for found in evaluations if (words := missed(found, 4)))


def _sentences(parts: Sequence[str]) -> str:
    return " ".join(part if part.endswith(".") else f"{part}." for part in parts)
