"""`raydr index`: images and labels into one manifest, with splits and a label budget by patient."""

from dataclasses import asdict

import numpy as np
import pyarrow.compute as pc

from raydr import storage
from raydr.config.jobs import IndexSettings
from raydr.data.audit import audit_leaks, check_audit
from raydr.data.budget import BudgetRule
from raydr.data.index import IndexResult, build_index
from raydr.data.manifest import grades_of, rows_of_images, summary
from raydr.data.partition import SplitRule
from raydr.grades import NUM_GRADES
from raydr.reporting.index_report import write_index_report
from raydr.workflows.audit import checks_made, say_audit, say_progress
from raydr.workflows.console import say
from raydr.workflows.data_reports import REPORT, index_notes, index_report
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.result import StageResult
from raydr.workflows.sources import source_of


def index(settings: IndexSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of indexing; its artifacts are `manifest`, `budget`, `audit` and, where exams were graded, `exams`."""
    sources = [source_of(name, source) for name, source in settings.sources.items()]

    def body(stage: Stage) -> Outcome:
        found = build_index(
            sources,
            splits=SplitRule(**settings.splits.model_dump()),
            budget=BudgetRule(**settings.budget.model_dump()),
        )
        counts = summary(found.manifest)
        for row in counts:
            grades = "/".join(str(row[f"grade_{grade}"]) for grade in range(5))
            say(f"  {row['dataset']} {row['split']}: {row['images']} images, {row['patients']} patients, {grades}")
        audit = audit_leaks(found.manifest, near_identical=settings.near_identical, progress=say_progress)
        audited = stage.path("audit.parquet")
        storage.write_table(audited, audit.findings)  # before any finding is refused: it is what to look at then
        say_audit(audit)
        notes = index_notes(found, audit)
        for note in notes:
            say(f"  {note}")
        report = stage.path(REPORT)
        write_index_report(
            report,
            index_report(
                settings,
                stage,
                manifest=found.manifest,
                budget=found.budget,
                findings=audit.findings,
                checks=checks_made(audit),
                notes=notes,
            ),
        )
        check_audit(audit, settings.waive, key="waive" if pipeline is None else "index.waive", table_uri=audited)
        budget_grades = _budget_grades(found)
        say(
            f"  label budget: {found.budget.num_rows} images, {'/'.join(map(str, budget_grades))} "
            f"(digest {found.budget_digest[:12]})"
        )
        artifacts = {
            "manifest": stage.path("manifest.parquet"),
            "budget": stage.path("budget.parquet"),
            "audit": audited,
            "report": report,
        }
        storage.write_table(artifacts["budget"], found.budget)
        if found.exams.num_rows:
            artifacts["exams"] = stage.path("exams.parquet")
            storage.write_table(artifacts["exams"], found.exams)
            say(f"  {found.exams.num_rows} exams, {pc.sum(found.exams['referable']).as_py()} referable")
        storage.write_table(artifacts["manifest"], found.manifest)
        metrics = {
            "num_images": found.manifest.num_rows,
            "num_budget": found.budget.num_rows,
            "budget_grades": budget_grades,
            "budget_digest": found.budget_digest,
            "num_exams": found.exams.num_rows,
            "num_dropped_labels": found.num_dropped,
            "num_unreadable": audit.num_unreadable,
            "num_shared_patients": audit.count("shared_patients"),
            "num_identical_files": audit.count("identical_files"),
            "num_near_identical_images": audit.count("near_identical_images") if settings.near_identical else None,
            "patient_leak": asdict(found.leak),
            "summary": counts,
        }
        logged = {key: float(value) for key, value in metrics.items() if isinstance(value, int)}
        return Outcome(metrics, artifacts, logged)

    inputs = {f"{source.name}.{key}": uri for source in sources for key, uri in source.layout.inputs().items()}
    return perform(settings, "index", inputs=inputs, pipeline=pipeline, body=body)


def _budget_grades(found: IndexResult) -> list[int]:
    """Images of the label budget by grade."""
    rows = rows_of_images(found.manifest, found.budget["image_id"].to_pylist())
    counts: list[int] = np.bincount(grades_of(found.manifest)[rows], minlength=NUM_GRADES).tolist()
    return counts
