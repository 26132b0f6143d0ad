"""A study's figures as tables: arm by budget for page and terminal, a row each for CSV files."""

import csv
import dataclasses
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raydr.metrics.label_efficiency import VALIDATION, LabelEfficiency, Spread, StudyCell
from raydr.reporting.table import terminal_table
from raydr.reporting.wording import count, counted, number, sentence


@dataclass(frozen=True, slots=True)
class Budget:
    """A column of the table."""

    name: str
    num_labels: float
    """Mean over arms and draws."""

    @property
    def words(self) -> str:
        """How many labels it is."""
        labels = count(round(self.num_labels))
        return f"all {labels}" if self.name == "all" else labels


@dataclass(frozen=True, slots=True)
class StudyTable:
    """A data set's figures by arm and budget; what was not trained, or has failed, is not there."""

    dataset: str
    budgets: Sequence[Budget]
    arms: Sequence[str]
    figures: Mapping[tuple[str, str], LabelEfficiency]
    """By arm and budget."""

    @property
    def is_validation(self) -> bool:
        """Whether these are the patients that choices are made by."""
        return self.dataset == VALIDATION

    @property
    def composition(self) -> str:
        """How many patients there are and how sure one model's AUC is on them, in a sentence."""
        rows = list(self.figures.values())
        errors = [row.standard_error for row in rows if math.isfinite(row.standard_error)]
        patients = counted(max(row.num_patients for row in rows), "patient")
        if not errors:
            return sentence(patients)
        return f"{patients}: a model’s AUC has a standard error of about {number(statistics.median(errors))} over them."

    def at(self, arm: str, budget: Budget) -> LabelEfficiency | None:
        """An arm's figures with a budget; None where there are none."""
        return self.figures.get((arm, budget.name))

    def of_arm(self, arm: str) -> list[tuple[Budget, LabelEfficiency]]:
        """An arm's figures that are defined, from few labels to many."""
        found = [(budget, self.at(arm, budget)) for budget in self.budgets]
        return [(budget, row) for budget, row in found if row is not None and math.isfinite(row.auc.mean)]

    def lacks_draws(self, row: LabelEfficiency) -> bool:
        """Whether another arm has more draws of that budget."""
        return any(
            other.auc.num_draws > row.auc.num_draws
            for (_, budget), other in self.figures.items()
            if budget == row.budget
        )


def study_tables(rows: Sequence[LabelEfficiency], arms: Sequence[str] = ()) -> list[StudyTable]:
    """A table for every data set, test sets first; all have the same columns and arms.

    Args:
        rows: As `label_efficiency` gives them.
        arms: Their order, and those that have no figures at all.
    """
    budgets = _budgets(rows)
    names = list(dict.fromkeys([*arms, *(row.arm for row in rows)]))
    datasets = sorted(dict.fromkeys(row.dataset for row in rows), key=lambda dataset: dataset == VALIDATION)
    return [
        StudyTable(dataset, budgets, names, {(row.arm, row.budget): row for row in rows if row.dataset == dataset})
        for dataset in datasets
    ]


@dataclass(frozen=True, slots=True)
class ArmCost:
    """What an arm has cost."""

    num_models: int
    seconds: float
    """Of training, one model after the other."""


def arm_costs(cells: Sequence[StudyCell]) -> dict[str, ArmCost]:
    """How many models of every arm were trained and for how long; a model counts once for all its data sets."""
    models = {(cell.arm, cell.budget, cell.draw, cell.seed): cell.seconds for cell in cells}
    by_arm: dict[str, list[float]] = {}
    for (arm, *_), seconds in models.items():
        by_arm.setdefault(arm, []).append(seconds)
    return {arm: ArmCost(len(seconds), math.fsum(seconds)) for arm, seconds in by_arm.items()}


def signed(value: float) -> str:
    """A difference to three digits with its sign."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def study_terminal_table(rows: Sequence[LabelEfficiency], arms: Sequence[str] = ()) -> str:
    """The tables for a terminal: mean AUC over draws and, in brackets, the lowest and the highest."""
    parts = []
    for table in study_tables(rows, arms):
        cells = [[arm, *(_in_short(table.at(arm, budget)) for budget in table.budgets)] for arm in table.arms]
        header = [table.dataset, *(f"{budget.words} labels" for budget in table.budgets)]
        parts.append(terminal_table(cells, header))
    return "\n\n".join(parts)


def table_csv(rows: Iterable[LabelEfficiency]) -> str:
    """The table as CSV text, a line for every data set, arm and budget; what is not defined is empty."""
    spread = [field.name for field in dataclasses.fields(Spread)]
    header = ["dataset", "arm", "budget", "num_labels", "num_patients", "num_trainings", "standard_error"]
    compared = [*(f"difference_{name}" for name in spread), "difference_num_same_sign", "difference_standard_error"]
    lines = []
    for row in rows:
        found = row.difference
        rest = (found.num_same_sign, found.standard_error) if found else ()
        difference = [*_values(found.spread), *rest] if found else [None] * len(compared)
        lines.append([*(getattr(row, name) for name in header), *_values(row.auc), *difference])
    return _csv([*header, *(f"auc_{name}" for name in spread), *compared], lines)


def cells_csv(cells: Iterable[StudyCell]) -> str:
    """The cells as CSV text, a line each; what is not defined is empty."""
    return _csv([field.name for field in dataclasses.fields(StudyCell)], [_values(cell) for cell in cells])


def _values(entry: Spread | StudyCell) -> list[str | float]:
    return [getattr(entry, field.name) for field in dataclasses.fields(entry)]


def _csv(header: Sequence[str], lines: Iterable[Sequence[str | float | None]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for line in lines:
        writer.writerow(["" if isinstance(value, float) and not math.isfinite(value) else value for value in line])
    return text.getvalue()


def _in_short(row: LabelEfficiency | None) -> str:
    if row is None:
        return "-"
    auc = row.auc
    spread = f" ({auc.lowest:.3f}-{auc.highest:.3f})" if auc.lowest < auc.highest else ""
    return f"{number(auc.mean)}{spread}"


def _budgets(rows: Sequence[LabelEfficiency]) -> list[Budget]:
    """The columns, from few labels to many; one budget's number of labels is the mean over whoever had it."""
    by_name: dict[str, list[float]] = {}
    for row in rows:
        by_name.setdefault(row.budget, []).append(row.num_labels)
    found = [Budget(name, math.fsum(labels) / len(labels)) for name, labels in by_name.items()]
    return sorted(found, key=lambda budget: (budget.num_labels, budget.name))
