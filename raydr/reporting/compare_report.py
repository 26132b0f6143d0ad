"""The report of `raydr compare`: what two models' AUCs differ by on the same patients, and how sure that is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from raydr import storage
from raydr.metrics.comparison import NOT_DEFINED, AucDifference
from raydr.metrics.levels import Level
from raydr.metrics.roc import RocCurve
from raydr.reporting import compare_figures
from raydr.reporting.page import render_page


@dataclass(frozen=True, slots=True, eq=False)
class ComparedDataset:
    """Both models on one data set."""

    name: str
    difference: AucDifference
    curves: tuple[RocCurve, RocCurve] | None
    """Of the first and of the second model; None where only one class is present."""
    unit: Level = "image"
    """What was judged."""


@dataclass(frozen=True, slots=True)
class CompareReport:
    """A comparison as its readers see it."""

    title: str
    created: datetime
    first: str
    """Where the first model's scores come from."""
    second: str
    split: Literal["test", "val"]
    datasets: Sequence[ComparedDataset]
    method: Literal["delong", "bootstrap"] = "delong"
    """Of the intervals."""
    left_out: Sequence[str] = ()
    """What is not in the figures, one line a reason."""
    settings: str = ""
    """TOML."""
    digests: Mapping[str, str] = field(default_factory=dict)


def p_text(difference: AucDifference) -> str:
    """The p value as it is quoted, never 0."""
    if not math.isfinite(difference.p_value):
        return "-"
    return "<0.001" if difference.p_value < 0.001 else f"{difference.p_value:.3f}"


def verdict(difference: AucDifference) -> str:
    """Which model ranks better, as far as the interval tells."""
    if not math.isfinite(difference.low):
        return NOT_DEFINED
    if difference.low > 0:
        return "A ranks better"
    return "B ranks better" if difference.high < 0 else "not told apart"


def render_compare_report(report: CompareReport) -> str:
    """The report as one HTML page that loads nothing."""
    return render_page(
        "compare_report.html.jinja",
        report=report,
        figures=compare_figures,
        p_text=p_text,
        verdict=verdict,
    )


def write_compare_report(uri: str, report: CompareReport) -> None:
    """Write the report to ``uri``, whole or not at all."""
    storage.write_bytes(uri, render_compare_report(report).encode())
