"""The report of `raydr study`: AUC against the number of labels, arm by arm, and what was chosen by what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from raydr import storage
from raydr.metrics.label_efficiency import VALIDATION, StudyCell, label_efficiency
from raydr.reporting import study_figures
from raydr.reporting.page import render_page
from raydr.reporting.study_findings import Opening, chosen, findings, openings_told, saving
from raydr.reporting.study_table import arm_costs, signed, study_tables


@dataclass(frozen=True, slots=True)
class StudyReport:
    """A study as its readers see it."""

    title: str
    created: datetime
    cells: Sequence[StudyCell]
    """Of the validation patients and, once they are scored, of the test sets, the internal one first."""
    arms: Mapping[str, str]
    """What every arm is, in a few words, by its name; in the order of the job file."""
    reference: str | None = None
    """The arm that others are compared with."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """That the study's parts took, by name, as a clock on the wall shows them."""
    machine: str = ""
    """What it ran on, in words."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why a cell has no figures, by its name."""
    study: str = ""
    """Digest of the settings, as the openings name it."""
    openings: Sequence[Opening] = ()
    """Of the test sets, the earliest first; empty where they are closed."""
    data: Sequence[Mapping[str, int | str]] = ()
    """As `raydr.data.manifest.summary`."""
    settings: str = ""
    """TOML."""
    digests: Mapping[str, str] = field(default_factory=dict)


def render_study_report(report: StudyReport) -> str:
    """The report as one HTML page that loads nothing."""
    rows = label_efficiency(report.cells, reference=report.reference)
    found = findings(rows)
    return render_page(
        "study_report.html.jinja",
        report=report,
        tables=study_tables(rows, list(report.arms)),
        findings=found,
        picked={finding.budget.name: finding.validation.arm for finding in found},
        num_validation=max((cell.num_images for cell in report.cells if cell.dataset == VALIDATION), default=0),
        told=[line for line in (chosen(found), saving(rows, report.reference)) if line],
        opened=openings_told(report.openings, report.study),
        costs=arm_costs(report.cells),
        signed=signed,
        figures=study_figures,
    )


def write_study_report(uri: str, report: StudyReport) -> None:
    """Write the report to ``uri``, whole or not at all."""
    storage.write_bytes(uri, render_study_report(report).encode())
