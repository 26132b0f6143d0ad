"""`raydr index`: images and labels into one manifest, with splits and a label budget by patient."""

import textwrap

from raydr import storage
from raydr.config.images import SourceSettings
from raydr.config.jobs import IndexSettings
from raydr.data.audit import TABLE_HEADER, LeakAudit, audit_leaks, check_audit
from raydr.data.index import build_index
from raydr.data.manifest import summary
from raydr.data.sources import EYEPACS_COLUMNS, Columns, Source
from raydr.reporting.table import terminal_table
from raydr.workflows.console import say
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.result import StageResult

_PROGRESS_EVERY = 5000  # files


def index(settings: IndexSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of indexing; its artifacts are `manifest`, `budget` and `audit`."""

    def body(stage: Stage) -> Outcome:
        found = build_index(
            [_source(name, source) for name, source in settings.sources.items()],
            val_fraction=settings.splits.val_fraction,
            test_fraction=settings.splits.test_fraction,
            split_seed=settings.splits.seed,
            budget_fraction=settings.budget.fraction,
            budget_count=settings.budget.count,
            budget_seed=settings.budget.seed,
        )
        counts = summary(found.manifest)
        for row in counts:
            grades = "/".join(str(row[f"grade_{grade}"]) for grade in range(5))
            say(f"  {row['dataset']} {row['split']}: {row['images']} images, {row['patients']} patients, {grades}")
        audit = audit_leaks(found.manifest, near_identical=settings.near_identical, progress=_say_progress)
        audited = stage.path("audit.parquet")
        storage.write_table(audited, audit.findings)  # before any finding is refused: it is what to look at then
        _say_audit(audit)
        check_audit(audit, settings.waive, table_uri=audited)
        say(f"  label budget: {found.budget.num_rows} images (digest {found.budget_digest[:12]})")
        artifacts = {
            "manifest": stage.path("manifest.parquet"),
            "budget": stage.path("budget.parquet"),
            "audit": audited,
        }
        storage.write_table(artifacts["budget"], found.budget)
        storage.write_table(artifacts["manifest"], found.manifest)
        metrics = {
            "num_images": found.manifest.num_rows,
            "num_budget": found.budget.num_rows,
            "budget_digest": found.budget_digest,
            "num_dropped_labels": found.num_dropped,
            "num_unreadable": audit.num_unreadable,
            "num_shared_patients": audit.count("shared_patients"),
            "num_identical_files": audit.count("identical_files"),
            "num_near_identical_images": audit.count("near_identical_images") if settings.near_identical else None,
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


def _say_progress(num_files: int) -> None:
    if num_files % _PROGRESS_EVERY == 0:
        say(f"  audit: {num_files} files read")


def _say_audit(audit: LeakAudit) -> None:
    if audit.findings.num_rows:
        say(textwrap.indent(terminal_table(audit.table(), TABLE_HEADER), "  "))
    else:
        say("  audit: nothing is shared between splits")
    if audit.num_unreadable:
        say(f"  audit: {audit.num_unreadable} files cannot be read and were not compared")
    if audit.num_without_picture is None:
        say("  audit: near-identical images were not looked for (near_identical = false)")
    elif audit.num_without_picture:
        say(
            f"  audit: {audit.num_without_picture} files show no picture to compare; near-identical ones were not found"
        )
