"""What a study found, in words, with every choice made by the validation patients."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from raydr.metrics.label_efficiency import LabelEfficiency, Spread
from raydr.reporting.study_table import Budget, study_tables
from raydr.reporting.wording import counted, number

_LEAST_TRAININGS: Final = 3  # of what a saving is measured by: one network's AUC has luck of its own


@dataclass(frozen=True, slots=True)
class Opening:
    """One time that test images were read for scoring."""

    time: datetime
    study: str
    """Digest of the settings that the scored models came from."""
    num_models: int
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the software."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The arm with the highest mean validation AUC with a budget, and its figures there and on the first test set."""

    budget: Budget
    validation: LabelEfficiency
    test: LabelEfficiency | None
    """None while the test sets are closed."""

    @property
    def shown(self) -> LabelEfficiency:
        """The figures that are reported: those of the test set, if there are any."""
        return self.test or self.validation


def findings(rows: Sequence[LabelEfficiency]) -> list[Finding]:
    """What the validation patients would choose with each budget, from few labels to many."""
    tables = study_tables(rows)
    validation = next((table for table in tables if table.is_validation), None)
    tests = [table for table in tables if not table.is_validation]
    if validation is None:
        return []
    found = []
    for budget in validation.budgets:
        reported = [
            row for arm in validation.arms if (row := validation.at(arm, budget)) and math.isfinite(row.auc.mean)
        ]
        if reported:
            best = max(reported, key=lambda row: row.auc.mean)
            found.append(Finding(budget, best, tests[0].at(best.arm, budget) if tests else None))
    return found


def chosen(found: Sequence[Finding]) -> str:
    """Which arm the validation patients choose with how many labels, in a sentence; nothing where there is none."""
    by_arm: dict[str, list[str]] = {}
    for finding in found:
        by_arm.setdefault(finding.validation.arm, []).append(finding.budget.words)
    if not by_arm:
        return ""
    if len(by_arm) == 1 and len(found) > 1:
        return f"The validation patients choose “{next(iter(by_arm))}” with every number of labels."
    parts = [f"“{arm}” with {_listed(labels)} labels" for arm, labels in by_arm.items()]
    return f"The validation patients choose {_listed(parts)}."


def saving(rows: Sequence[LabelEfficiency], reference: str | None) -> str:
    """How many labels the chosen arms need for what the reference arm reaches with its most, in a sentence.

    On the first test set, or on the validation patients where there is none; nothing without a reference arm. A saving
    is claimed where the whole interval over draws is on that side and what is reached is no single training's luck.
    """
    tables = study_tables(rows)
    of_reference = tables[0].of_arm(reference) if tables and reference is not None else []
    if len(of_reference) < 2:
        return ""
    most, goal = of_reference[-1]
    what = f"what “{reference}” reaches with {most.words} ({_figure(goal.auc)}) on {tables[0].dataset}"
    reached = [
        (finding.budget.words, row)
        for finding in findings(rows)
        if finding.budget.num_labels < most.num_labels
        and (row := tables[0].at(finding.validation.arm, finding.budget)) is not None
        and row.auc.mean >= goal.auc.mean
    ]
    for labels, row in reached:
        if row.auc.low >= goal.auc.mean and goal.num_trainings >= _LEAST_TRAININGS:
            return f"With {labels} labels “{row.arm}” reaches ({_figure(row.auc)}) {what}."
    if reached:
        labels, row = reached[0]
        if math.isnan(row.auc.low):
            why = "has no interval"
        elif row.auc.low < goal.auc.mean:
            why = "has an interval that reaches below"
        else:
            why = f"is set beside {counted(goal.num_trainings, 'training')} alone"
        mean = f"the mean of “{row.arm}” ({_figure(row.auc)})"
        return f"With {labels} labels {mean} is not below {what}, but it {why}: that labels are saved is not shown."
    return f"No arm chosen so reaches with fewer labels {what}."


def openings_told(openings: Sequence[Opening], study: str) -> list[str]:
    """How often a study's folder has opened the test sets and what that means for the figures, in sentences.

    Args:
        openings: The earliest first.
        study: Digest of the settings that the figures come from.
    """
    if not openings:
        return ["The test sets are closed: this study’s folder has scored no test image."]
    first, last = (f"{opening.time:%Y-%m-%d %H:%M}" for opening in (openings[0], openings[-1]))
    often = {1: "once", 2: "twice"}.get(len(openings), f"{len(openings)} times")
    when = f"on {first}" if first == last else f"first on {first} and last on {last}"
    told = f"The test sets have been opened {often} by this study’s folder, {when}."
    others = [opening for opening in openings if opening.study != study]
    if not others:
        clean = "No other settings have been opened there; what was looked at in other folders it does not know."
        return [told, clean]
    place = openings.index(others[-1])
    which = f"last on {others[-1].time:%Y-%m-%d %H:%M} ({others[-1].study[:12]})"
    if any(opening.study == study for opening in openings[:place]):
        more = f"They were opened with other settings as well, {which}, after these: a return to these is a choice"
        return [told, f"{more} that was made with those figures in reach."]
    more = f"They were opened before with other settings, {which}:"
    return [told, f"{more} what was chosen since then was chosen with their figures in reach."]


def _figure(auc: Spread) -> str:
    """A mean with what is known of its uncertainty."""
    if auc.num_draws == 1:
        return f"{number(auc.mean)}; one draw"
    interval = "" if math.isnan(auc.low) else f", [{number(auc.low)}, {number(auc.high)}]"
    return f"{number(auc.mean)}; mean of {auc.num_draws} draws{interval}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
