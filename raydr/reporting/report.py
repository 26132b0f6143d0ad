"""What a report holds, and the one HTML file that it becomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from raydr import storage
from raydr.metrics.comparison import AucDifference
from raydr.metrics.evaluation import DatasetEvaluation
from raydr.reporting import figures, parallel_figure, search_figures
from raydr.reporting.compare_report import p_text
from raydr.reporting.explorer import explore
from raydr.reporting.forest import forest
from raydr.reporting.model_facts import ModelFacts
from raydr.reporting.page import render_page
from raydr.reporting.search_report import Refit, Trial

CHOSEN_ON_VALIDATION = "Thresholds were chosen on the validation patients, never on these images."
CHOSEN_WITH_THE_MODEL = (
    "Thresholds are the model's own, chosen on validation patients when it was made; whether any of these images took "
    "part in that is not known here."
)


@dataclass(frozen=True, slots=True)
class Stage:
    """One line of the run: a stage, how long it took, and the figure that tells how it went."""

    name: str
    seconds: float
    figure: str = ""
    is_up_to_date: bool = False
    """It was not run again, since neither its inputs nor its settings had changed."""


@dataclass(frozen=True, slots=True)
class ScoredPicture:
    """A photograph to look at, with what the model says of it."""

    image_id: str
    dataset: str
    thumbnail: bytes
    """JPEG of the network's input."""
    probability: float
    grade: int
    heat_map: bytes | None = None
    """JPEG of the same with what speaks for referable retinopathy laid over it; None where there is none."""


@dataclass(frozen=True, slots=True)
class Report:
    """A run as its readers see it; every part but the first three may be missing."""

    title: str
    created: datetime
    models: Mapping[str, Sequence[DatasetEvaluation]]
    """The model that the report is about first; its data sets give the order."""
    differences: Mapping[str, AucDifference] = field(default_factory=dict)
    """By data set, the first model's AUC less the second one's on the same patients."""
    internal: str = ""
    """The data set whose patients come from where the training ones do; the others are external. Unsaid where empty."""
    thresholds_from: str = CHOSEN_ON_VALIDATION
    """Where operating points come from, in a sentence."""
    stages: Sequence[Stage] = ()
    trials: Sequence[Trial] = ()
    refits: Sequence[Refit] = ()
    num_validation_patients: int = 0
    """By whom the search chose; 0 where that is unsaid."""
    curves: Mapping[str, Sequence[Mapping[str, float | None]]] = field(default_factory=dict)
    """Per stage one mapping an epoch, from ``epoch`` and each metric's name to its value."""
    data: Sequence[Mapping[str, int | str]] = ()
    """As `raydr.data.manifest.summary`: dataset, split, images, patients, grade_0 to grade_4."""
    budget: str = ""
    """How many labels were used, in words."""
    audit: Sequence[str] = ()
    """What the leak audit found, one line a finding."""
    settings: str = ""
    """TOML."""
    environment: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    """What a reader of the figures must know, a sentence each."""
    worst_errors: Sequence[ScoredPicture] = ()
    highest_scored: Sequence[ScoredPicture] = ()
    about: ModelFacts | None = None
    """What the first model is."""


def render_report(report: Report) -> str:
    """The report as one HTML page that loads nothing: style, pictures and figures are inside."""
    first = next(iter(report.models.values()), ())
    return render_page(
        "report.html.jinja",
        script="report.js",
        report=report,
        explorer=explore(first),
        forests=[forest(evaluation) for evaluation in first],
        figures=figures,
        p_text=p_text,
        search=search_figures,
        parallel=parallel_figure,
    )


def write_report(uri: str, report: Report) -> None:
    """Write the report to ``uri``, whole or not at all."""
    storage.write_bytes(uri, render_report(report).encode())
