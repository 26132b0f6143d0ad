"""The report of `raydr index`: the datasets and their splits, the label budget, and what the leak audit found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from raydr import storage
from raydr.grades import NUM_GRADES, REFERABLE_GRADE
from raydr.reporting.page import render_page

Counts = Mapping[str, int | str]
"""A row of `raydr.data.manifest.summary`: dataset, split, images, patients, grade_0 to grade_4."""

CHECKS: Final[Mapping[str, tuple[str, str]]] = {
    "shared_patients": ("Patients", "Patients in more than one split"),
    "identical_files": ("Identical files", "Files with the same bytes in different splits or datasets"),
    "near_identical_images": (
        "Near-identical images",
        "The same picture in other bytes in different splits or datasets",
    ),
}
"""The audit's checks by the name of their findings: their title, and what they look for."""

_MAX_FINDINGS: Final = 20  # a check: more are not read, they are looked up

Outcome = Literal["clean", "waived", "stops", "not made"]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What was indexed, as its readers see it."""

    title: str
    created: datetime
    data: Sequence[Counts]
    """One row a dataset and split."""
    budget: Sequence[Counts]
    """The same of the budgeted images alone."""
    findings: pa.Table
    """The leak audit's: ``finding``, ``dataset_a``, ``image_id_a``, ``split_a``, the same with ``_b``, ``patient_id``
    and ``similarity``, null where they say nothing."""
    checks: Sequence[str]
    """The checks that were made, by the name of their findings."""
    waived: Sequence[str] = ()
    """Those whose findings do not stop the job."""
    findings_file: str = "audit.parquet"
    """Where all findings are."""
    notes: Sequence[str] = ()
    """What else was found on the way, a sentence each."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each dataset was read from."""
    settings: str = ""
    """TOML."""
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the audit and what became of it."""

    title: str
    meaning: str
    num_findings: int
    outcome: Outcome
    rows: Sequence[Mapping[str, Any]]
    """The first findings, the most similar pairs."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One dataset's split by grade."""

    dataset: str
    split: str
    num_images: int
    parts: Sequence[tuple[str, int]]
    """(what, images) by grade, those without a grade last."""
    referable: float | None
    """Share among the graded; None where none is."""


def render_index_report(report: IndexReport) -> str:
    """The report as one HTML page that loads nothing."""
    checks = audit_checks(report)
    data = trained_on_first(report.data)
    return render_page(
        "index_report.html.jinja",
        report=report,
        data=data,
        total=totals(report.data),
        train=totals([row for row in report.data if row["split"] == "train"]),
        budget=totals(report.budget),
        bars=grade_bars(data),
        checks=checks,
        verdict=worst_outcome(checks),
        patients_apart=checks[0].outcome == "clean",
    )


def write_index_report(uri: str, report: IndexReport) -> None:
    """Write the report to ``uri``, whole or not at all."""
    storage.write_bytes(uri, render_index_report(report).encode())


def totals(rows: Sequence[Counts]) -> dict[str, int]:
    """Images, graded and referable images, and images by grade, over all rows.

    A patient counts once in every split where he is: once in all, where the audit lets the job go on.
    """
    names = ("images", "patients", *(f"grade_{grade}" for grade in range(NUM_GRADES)))
    found = {name: sum(int(row[name]) for row in rows) for name in names}
    found["graded"] = sum(found[f"grade_{grade}"] for grade in range(NUM_GRADES))
    found["referable"] = sum(found[f"grade_{grade}"] for grade in range(REFERABLE_GRADE, NUM_GRADES))
    return found


def trained_on_first(rows: Sequence[Counts]) -> list[Counts]:
    """The rows with those of external sets last."""
    return sorted(rows, key=lambda row: row["split"] == "external")


def grade_bars(rows: Sequence[Counts]) -> list[Bar]:
    """How the grades of every dataset and split are mixed."""
    bars = []
    for row in rows:
        found = totals([row])
        parts = [(f"grade-{grade}", found[f"grade_{grade}"]) for grade in range(NUM_GRADES)]
        parts.append(("no-grade", found["images"] - found["graded"]))
        share = found["referable"] / found["graded"] if found["graded"] else None
        bars.append(Bar(str(row["dataset"]), str(row["split"]), found["images"], parts, share))
    return bars


def audit_checks(report: IndexReport) -> list[Check]:
    """Every check of the audit, made or not, and any further kind of finding."""
    kinds = report.findings["finding"].to_pylist()
    names = list(dict.fromkeys([*CHECKS, *report.checks, *kinds]))
    checks = []
    for name in names:
        title, meaning = CHECKS.get(name, (name.replace("_", " ").capitalize(), ""))
        rows = report.findings.filter(pc.equal(report.findings["finding"], name))
        shown = rows.sort_by([("similarity", "descending")]).slice(0, _MAX_FINDINGS).to_pylist()
        checks.append(Check(title, meaning, rows.num_rows, _outcome(report, name, rows.num_rows), shown))
    return checks


def worst_outcome(checks: Sequence[Check]) -> Outcome:
    """What became of the audit as a whole: a check that was not made counts only where none was."""
    outcomes: tuple[Outcome, ...] = ("stops", "waived", "clean")
    return next((outcome for outcome in outcomes if any(check.outcome == outcome for check in checks)), "not made")


def _outcome(report: IndexReport, name: str, count: int) -> Outcome:
    if count:
        return "waived" if name in report.waived else "stops"
    return "clean" if name in report.checks else "not made"
