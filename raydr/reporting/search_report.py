"""The report of `raydr search`: what was tried, what can be told apart, what mattered, and the refits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from raydr import storage
from raydr.reporting import parallel_figure, search_figures
from raydr.reporting.page import render_page


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of the search; ``validation_auc`` is None where it never reported."""

    number: int
    settings: Mapping[str, Any]
    validation_auc: float | None
    num_epochs: int
    status: str
    standard_error: float | None = None
    """Of the AUC, patients being its unit."""
    not_told_apart: bool = False
    """Whether it is within one standard error of the best one, or that one."""


@dataclass(frozen=True, slots=True)
class Refit:
    """The best trial's settings at full length, with one seed."""

    seed: int
    validation_auc: float | None
    standard_error: float | None
    best_epoch: int | None
    num_epochs: int
    is_kept: bool
    """Whether its model is the search's."""


@dataclass(frozen=True, slots=True)
class SearchReport:
    """A search as its readers see it."""

    title: str
    created: datetime
    trials: Sequence[Trial]
    refits: Sequence[Refit]
    num_patients: int
    """Validation patients, the only ones that anything was chosen by."""
    num_images: int
    """Of theirs."""
    full_grid_epochs: int
    """That the trials would have taken had none been stopped."""
    seconds: Mapping[str, float]
    """That the search's parts took, by name."""
    curve: Sequence[Mapping[str, float | None]] = ()
    """Metrics of the kept refit by epoch."""
    data: Sequence[Mapping[str, int | str]] = ()
    """As `raydr.data.manifest.summary`."""
    settings: str = ""
    """TOML."""
    digests: Mapping[str, str] = field(default_factory=dict)


def render_search_report(report: SearchReport) -> str:
    """The report as one HTML page that loads nothing."""
    return render_page("search_report.html.jinja", report=report, search=search_figures, parallel=parallel_figure)


def write_search_report(uri: str, report: SearchReport) -> None:
    """Write the report to ``uri``, whole or not at all."""
    storage.write_bytes(uri, render_search_report(report).encode())
