"""What a study found, in words, with every choice made by the validation patients."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from raydr.metrics.label_efficiency import VALIDATION, LabelEfficiency
from raydr.reporting.study_table import Budget, StudyTable, study_tables
from raydr.reporting.wording import counted, number


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


def saving(rows: Sequence[LabelEfficiency], reference: str | None) -> str:
    """How many labels the chosen arms need for what the reference arm reaches with its most, in a sentence.

    On the first test set, or on the validation patients where there is none; nothing without a reference arm.
    """
    tables = study_tables(rows)
    if not tables or reference is None:
        return ""
    table: StudyTable = tables[0]
    of_reference = table.of_arm(reference)
    if not of_reference:
        return ""
    most, goal = of_reference[-1]
    labels = f"{most.words} labels on {table.dataset}"
    for finding in findings(rows):
        row = table.at(finding.validation.arm, finding.budget)
        if row and finding.budget.num_labels < most.num_labels and row.auc.mean >= goal.auc.mean:
            return (
                f"{row.arm} reaches with {finding.budget.words} labels ({number(row.auc.mean)}) what {reference} "
                f"reaches with {labels} ({number(goal.auc.mean)})."
            )
    return (
        f"With fewer labels no arm chosen so reaches what {reference} reaches with {labels} ({number(goal.auc.mean)})."
    )


def openings_told(openings: Sequence[StudyOpening], study: str) -> list[str]:
    """How often the test sets have been opened and what that means for the figures, in sentences.

    Args:
        openings: The earliest first.
        study: Digest of the settings that the figures come from.
    """
    if not openings:
        return ["The test sets are closed: no test image has been scored."]
    told = [
        f"The test sets were first opened on {openings[0].time:%Y-%m-%d %H:%M}, and {counted(len(openings), 'time')} "
        "in all."
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
