"""How the report puts figures into words."""

import base64
import math
import re
import statistics
from collections.abc import Sequence
from typing import Protocol

from raydr.grades import GRADE_NAMES  # noqa: F401  # for the templates
from raydr.metrics.bootstrap import AucInterval
from raydr.metrics.estimate import Estimate
from raydr.metrics.evaluation import DatasetEvaluation
from raydr.metrics.operating import PointFigures, Proportion

UNGRADABLE_WAYS = {
    "gradable": "Gradable only",
    "all": "All images with a score",
    "refer": "Ungradable means referred",
}
_MOST_NAMED = 12  # missed images in a sentence; evaluation.json has more
_AT = re.compile(r"(?:sensitivity|specificity)_at_(sensitivity|specificity)_([\d.]+)")

_SHORT_WORDS = {"auc": "AUC", "knn": "kNN", "val": "validation", "lr": "learning rate"}


class Validated(Protocol):
    """What a trial and a refit have in common."""

    @property
    def validation_auc(self) -> float | None:
        """None where there is none."""


class Tied(Protocol):
    """A trial that may be as good as the best one."""

    @property
    def not_told_apart(self) -> bool:
        """Whether it is within one standard error of the best one, or that one."""


def is_defined(value: float | None) -> bool:
    """Whether a figure exists: neither None nor NaN."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 3) -> str:
    """A figure to some digits; a dash where it is not defined."""
    return f"{value:.{digits}f}" if value is not None and math.isfinite(value) else "–"


def interval(figure: AucInterval | Estimate | Proportion) -> str:
    """The bounds of a figure in brackets; nothing where they are not defined."""
    return f"[{figure.low:.3f}, {figure.high:.3f}]" if math.isfinite(figure.low) else ""


def quoted(figure: AucInterval | Estimate | Proportion) -> str:
    """A figure with its bounds, or a dash."""
    return str(figure) if is_defined(figure.value) else "–"


def why_not_defined(auc: AucInterval) -> str:
    """Why a data set has no AUC, in words."""
    if not auc.num_images:
        return "no image has both a grade and a score"
    kind = "referable" if auc.num_positive else "non-referable"
    return f"all {counted(auc.num_images, 'image')} are {kind}, and an AUC compares two classes"


def sentence(words: str) -> str:
    """Words with a capital first letter and a full stop."""
    return f"{words[:1].upper()}{words[1:]}."


def count(value: int) -> str:
    """A count with its thousands set apart by a thin space that does not break."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def counted(value: int, word: str) -> str:
    """A count with its word, in the plural where it is not one."""
    return f"{count(value)} {word}{'' if value == 1 else 's'}"


def composition(evaluation: DatasetEvaluation) -> str:
    """What the figures of a data set were computed on."""
    auc = evaluation.auc
    images, patients = counted(auc.num_images, "image"), counted(auc.num_patients, "patient")
    if evaluation.unit == "image":
        return f"{images} of {patients}, {count(auc.num_positive)} referable"
    units = counted(evaluation.levels[evaluation.unit].num_units, evaluation.unit)
    return f"{units} ({images}) of {patients}, {count(auc.num_positive)} referable"


def left_out(evaluation: DatasetEvaluation) -> str:
    """Which images of a data set are not in its figures, or nothing."""
    parts = []
    if evaluation.num_ungraded:
        parts.append(f"{count(evaluation.num_ungraded)} without a grade")
    if evaluation.num_unscored:
        parts.append(f"{count(evaluation.num_unscored)} without a score (unreadable)")
    return f"Left out: {' and '.join(parts)}, of {counted(evaluation.num_images, 'image')}." if parts else ""


def unnamed_patients(evaluation: DatasetEvaluation) -> str:
    """What was done with images of nobody known, in a sentence; nothing where all patients are known."""
    unnamed = evaluation.num_without_patient
    if not unnamed:
        return ""
    if unnamed == evaluation.num_images:
        return "No patient is named: every image counts as one."
    return f"{counted(unnamed, 'image')} without a patient: each counts as one."


def point_name(name: str) -> str:
    """An operating point as people call it."""
    found = _AT.fullmatch(name)
    return f"{found[1].capitalize()} {found[2]}" if found else name.replace("_", " ").capitalize()


def call_figures(figures: PointFigures) -> str:
    """What a threshold does, in words."""
    return f"sensitivity {quoted(figures.sensitivity)}, specificity {quoted(figures.specificity)}"


def main_point(evaluation: DatasetEvaluation) -> str:
    """The operating point of the figures by grade and by group, by its letter and what it was chosen for."""
    names = [name for name, _ in evaluation.points]
    name = evaluation.main_point or ""
    return (
        f"operating point {point_letter(names.index(name))} ({point_name(name)})" if name in names else "no threshold"
    )


def point_letter(place: int) -> str:
    """The letter that stands for an operating point in figure and table."""
    return chr(ord("A") + place % 26)


def why_no_kappa(evaluation: DatasetEvaluation) -> str:
    """Why the five-grade agreement is not given, in words."""
    if evaluation.confusion is None:
        return "not computed: the model answers referable or not, without the five grades"
    missing = [str(grade) for grade, row in enumerate(evaluation.confusion) if not row.sum()]
    return f"not computed: no image of grade {', '.join(missing)} in this set" if missing else "not defined"


def missed(evaluation: DatasetEvaluation, grade: int) -> str:
    """The images of a grade that are missed, by name, in a sentence; nothing where none was looked for."""
    found = (evaluation.missed_by_grade or {}).get(grade)
    if found is None or evaluation.unit != "image":
        return ""
    if not found.num_images:
        has_any = evaluation.histogram[grade].sum() > 0
        return f"No image of grade {grade} is missed." if has_any else f"There is no image of grade {grade}."
    named = ", ".join(found.image_ids[:_MOST_NAMED])
    rest = found.num_images - min(found.num_images, _MOST_NAMED, len(found.image_ids))
    verb = "is" if found.num_images == 1 else "are"
    more = f" and {count(rest)} more" if rest else ""
    return f"{counted(found.num_images, 'image')} of grade {grade} {verb} missed: {named}{more}."


def duration(seconds: float) -> str:
    """A duration in the unit that fits it."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def setting(value: object) -> str:
    """A setting's value, floats to three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def metric(name: str) -> str:
    """A metric's or a setting's name as words."""
    words = name.replace("_", " ").replace("/", " ").split()
    return " ".join(_SHORT_WORDS.get(word, word) for word in words)


def data_uri(jpeg: bytes) -> str:
    """A JPEG as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def verdict(probability: float, grade: int) -> str:
    """What went wrong with a picture."""
    said = f"scored {probability:.3f}"
    return f"grade {grade}, {said}" if grade >= 0 else f"ungraded, {said}"


def matching(evaluations: Sequence[DatasetEvaluation], name: str) -> DatasetEvaluation | None:
    """A model's evaluation on the data set of that name, if it has one."""
    return next((entry for entry in evaluations if entry.name == name), None)


def share(value: float | None) -> str:
    """A share as a percentage: one digit after the point below 10 %, and never 0 or 100 % where it is neither."""
    if value is None or not math.isfinite(value):
        return "–"
    percent = 100 * value
    if 0 < percent < 0.1:
        words = "< 0.1"
    elif 99.9 < percent < 100:
        words = "> 99.9"
    else:
        words = f"{percent:.1f}" if percent < 10 or percent > 90 else f"{percent:.0f}"
    return f"{words.removesuffix('.0')}\N{NARROW NO-BREAK SPACE}%"


def size(num_bytes: int) -> str:
    """A number of bytes in the decimal unit that fits it."""
    value = float(num_bytes)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    digits = 1 if unit != "bytes" and value < 10 else 0
    return f"{value:.{digits}f}\N{NARROW NO-BREAK SPACE}{unit}"


def more(total: int, shown: int, where: str) -> str:
    """What a list that was cut leaves out and where all of it is; nothing where it was not cut."""
    return f"and {count(total - shown)} more; all are in {where}" if total > shown else ""


def tied(trials: Sequence[Tied]) -> str:
    """How many trials are not told apart from the best one, in a sentence."""
    others = sum(trial.not_told_apart for trial in trials) - 1
    if others < 1:
        return "No other trial is within one standard error of the best one."
    verb = "is" if others == 1 else "are"
    return f"{counted(others, 'other trial')} {verb} within one standard error of the best one: not told apart from it."


def refit_spread(refits: Sequence[Validated]) -> str:
    """Mean and spread of several refits' AUC, in a sentence."""
    aucs = [value for refit in refits if (value := refit.validation_auc) is not None and math.isfinite(value)]
    if len(aucs) < 2:
        return ""
    return f"AUC {statistics.fmean(aucs):.3f} on average, standard deviation {statistics.stdev(aucs):.3f}."
