"""What a study found, in words, with every choice made by the validation patients."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from raydr.metrics.label_efficiency import LabelEfficiency
from raydr.reporting.study_table import Budget, study_tables
from raydr.reporting.wording import number


class StudyOpening(Protocol):
    """One time that test images were read for scoring."""

    @property
    def time(self) -> datetime:
        """When."""

    @property
    def study(self) -> str:
        """Digest of the settings that the scored models came from."""

    @property
    def num_models(self) -> int:
        """That were scored."""


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

    On the first test set, or on the validation patients where there is none; nothing without a reference arm.
    """
    tables = study_tables(rows)
    of_reference = tables[0].of_arm(reference) if tables and reference is not None else []
    if len(of_reference) < 2:
        return ""
    most, goal = of_reference[-1]
    what = f"what “{reference}” reaches with {most.words} ({number(goal.auc.mean)}) on {tables[0].dataset}"
    for finding in findings(rows):
        row = finding.shown
        if finding.budget.num_labels < most.num_labels and row.auc.mean >= goal.auc.mean:
            return f"With {finding.budget.words} labels “{row.arm}” reaches ({number(row.auc.mean)}) {what}."
    return f"No arm chosen so reaches with fewer labels {what}."


def openings_told(openings: Sequence[StudyOpening], study: str) -> list[str]:
    """How often the test sets have been opened and what that means for the figures, in sentences.

    Args:
        openings: The earliest first.
        study: Digest of the settings that the figures come from.
    """
    if not openings:
        return ["The test sets are closed: no test image has been scored."]
    first, last = (f"{opening.time:%Y-%m-%d %H:%M}" for opening in (openings[0], openings[-1]))
    often = "once" if len(openings) == 1 else f"{len(openings)} times"
    told = [
        f"The test sets have been opened {often}, on {first}."
        if first == last
        else f"The test sets have been opened {often}, first on {first} and last on {last}."
    ]
    before = list(itertools.takewhile(lambda opening: opening.study != study, openings))
    if before:
        told.append(
            f"They were opened before, on {before[-1].time:%Y-%m-%d %H:%M}, with other settings "
            f"({before[-1].study[:12]}): what was chosen since then was chosen with their figures in reach."
        )
    else:
        told.append(
            "Nothing of these settings was chosen with a test figure in reach: they were opened with them first."
        )
    return told


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
