"""What the page's script needs to move a threshold: exact counts of calls, data set by data set."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from raydr.grades import REFERABLE_GRADE
from raydr.metrics.evaluation import DatasetEvaluation
from raydr.reporting.wording import point_letter, point_name

Floats = NDArray[np.float64]
_STEPS_PER_CLASS = 250  # of each data set and class; so a slider's step moves at most 0.4 % of a class


@dataclass(frozen=True, slots=True)
class Counts:
    """The calls of one data set at one threshold."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @property
    def shares(self) -> dict[str, float]:
        """Sensitivity, specificity, PPV and NPV, by name; NaN where nothing was counted."""
        tp, fp, tn, fn = self.true_positives, self.false_positives, self.true_negatives, self.false_negatives
        pairs = {"Sensitivity": (tp, tp + fn), "Specificity": (tn, tn + fp), "PPV": (tp, tp + fp), "NPV": (tn, tn + fn)}
        return {name: part / whole if whole else math.nan for name, (part, whole) in pairs.items()}


@dataclass(frozen=True, slots=True)
class Step:
    """A threshold that was chosen beforehand, as a place of the slider."""

    letter: str
    name: str
    place: int


@dataclass(frozen=True, slots=True, eq=False)
class Explorer:
    """One slider for all data sets: the thresholds it can take, and the calls at each."""

    thresholds: Floats
    """[T], rising; 0, where every image is called, is the first."""
    called: tuple[NDArray[np.int64], ...]
    """For each data set [grades, T]: images of each true grade whose score is at or above the threshold; exams that are
    not referable and those that are, where exams were judged."""
    first_referable: tuple[int, ...]
    """For each data set the row of ``called`` from which on it is of referable ones."""
    steps: tuple[Step, ...]
    start: int
    """Where the slider stands at first: Youden's threshold, if there is one."""

    def counts(self, place: int, step: int | None = None) -> Counts:
        """The calls of the data set at ``place``, at a step of the slider or where it starts."""
        called, first = self.called[place], self.first_referable[place]
        now, total = called[:, self.start if step is None else step], called[:, 0]
        hits, alarms = int(now[first:].sum()), int(now[:first].sum())
        return Counts(hits, alarms, int(total[:first].sum()) - alarms, int(total[first:].sum()) - hits)

    def by_grade(self, place: int) -> list[tuple[int, int]]:
        """Images called, and all images, of each true grade, where the slider starts; empty where exams were judged."""
        called = self.called[place]
        return list(zip(called[:, self.start].tolist(), called[:, 0].tolist(), strict=True)) if len(called) > 2 else []

    def json(self) -> Markup:
        """All of it for the page, in a form that cannot end the element it stands in."""
        content = {
            "thresholds": self.thresholds.tolist(),
            "start": self.start,
            "first_referable": self.first_referable,
            "called": [counts.tolist() for counts in self.called],
        }
        return Markup(json.dumps(content, separators=(",", ":")))  # noqa: S704  # numbers alone


def explore(evaluations: Sequence[DatasetEvaluation]) -> Explorer | None:
    """The slider of one model's evaluations; None where no image has both a grade and a score.

    Its thresholds are scores, spread evenly over the ranks of each class of each data set, and every one that was
    chosen beforehand. Counts are exact at each.
    """
    sets = [_scores(evaluation) for evaluation in evaluations]
    classes = [
        np.sort(np.concatenate(part))
        for scores, first in sets
        for part in (scores[:first], scores[first:])
        if sum(map(len, part))
    ]
    if not classes:
        return None
    chosen = [
        (point_letter(place), point_name(name), figures.threshold)
        for place, (name, figures) in enumerate(evaluations[0].points)
        if math.isfinite(figures.threshold)
    ]
    scores = np.concatenate([found[_spread(len(found))] for found in classes])
    thresholds = np.unique(np.concatenate([[0.0], scores, [threshold for *_, threshold in chosen]]))
    steps = tuple(Step(letter, name, int(np.searchsorted(thresholds, threshold))) for letter, name, threshold in chosen)
    main = evaluations[0].main_point
    start = next((step.place for step in steps if main and step.name == point_name(main)), len(thresholds) // 2)
    called = tuple(_called(scores, thresholds) for scores, _ in sets)
    return Explorer(thresholds, called, tuple(first for _, first in sets), steps, start)


def _scores(evaluation: DatasetEvaluation) -> tuple[Sequence[Floats], int]:
    """Rising scores by true grade, or by class where exams were judged, and the place of the first referable ones."""
    if evaluation.unit == "image":
        return evaluation.scores_by_grade, REFERABLE_GRADE
    return evaluation.scores_by_class, 1


def _spread(length: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, length - 1, min(length, _STEPS_PER_CLASS)).round().astype(np.int64))


def _called(scores_by_grade: Sequence[Floats], thresholds: Floats) -> NDArray[np.int64]:
    rows = [len(scores) - np.searchsorted(scores, thresholds, side="left") for scores in scores_by_grade]
    return np.stack(rows).astype(np.int64)
