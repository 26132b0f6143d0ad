"""`raydr index`: images and labels into one manifest, with splits and a label budget by patient."""

from raydr import storage
from raydr.config.images import SourceSettings
from raydr.config.jobs import IndexSettings
from raydr.data.index import build_index
from raydr.data.manifest import summary
from raydr.data.sources import EYEPACS_COLUMNS, Columns, Source
from raydr.workflows.console import say
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.result import StageResult


def index(settings: IndexSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of indexing; its artifacts are `manifest` and `budget`."""

    def body(stage: Stage) -> Outcome:
        found = build_index(
            [_source(name, source) for name, source in settings.sources.items()],
            val_fraction=settings.splits.val_fraction,
            test_fraction=settings.splits.test_fraction,
            split_seed=settings.splits.seed,
            budget_fraction=settings.budget.fraction,
            budget_count=settings.budget.count,
            budget_seed=settings.budget.seed,
            waive=settings.waive,
        )
        counts = summary(found.manifest)
        for row in counts:
            grades = "/".join(str(row[f"grade_{grade}"]) for grade in range(5))
            say(f"  {row['dataset']} {row['split']}: {row['images']} images, {row['patients']} patients, {grades}")
        say(f"  label budget: {found.budget.num_rows} images (digest {found.budget_digest[:12]})")
        artifacts = {"manifest": stage.path("manifest.parquet"), "budget": stage.path("budget.parquet")}
        storage.write_table(artifacts["budget"], found.budget)
        storage.write_table(artifacts["manifest"], found.manifest)
        metrics = {
            "num_images": found.manifest.num_rows,
            "num_budget": found.budget.num_rows,
            "budget_digest": found.budget_digest,
            "num_dropped_labels": found.num_dropped,
            "num_unreadable": found.audit.num_unreadable,
            "num_shared_patients": len(found.audit.shared_patients),
            "num_shared_files": len(found.audit.shared_files),
            "summary": counts,
        }
        logged = {key: float(value) for key, value in metrics.items() if isinstance(value, int)}
        return Outcome(metrics, artifacts, logged)

    inputs = {}
    for name, source in settings.sources.items():
        inputs[f"{name}.labels"], inputs[f"{name}.images"] = source.labels, source.images
        if source.splits is not None:
            inputs[f"{name}.splits"] = source.splits
    return perform(settings, "index", inputs=inputs, pipeline=pipeline, body=body)


def _source(name: str, settings: SourceSettings) -> Source:
    columns = EYEPACS_COLUMNS
    if settings.layout == "csv":
        named = settings.columns
        columns = Columns(image=named.image, grade=named.grade, patient=named.patient, eye=named.eye, split=named.split)
    return Source(
        name=name,
        layout=settings.layout,
        images=storage.absolute(settings.images),
        labels=settings.labels,
        splits=settings.splits,
        columns=columns,
        external=settings.role == "external",
        drop_missing=settings.missing == "drop",
    )
