"""`raydr index`: images and labels into one manifest, with splits and a label budget by patient."""

from dataclasses import asdict

import numpy as np
import pyarrow.compute as pc

from raydr import storage
from raydr.config.jobs import IndexSettings
from raydr.config.sources import (
    Aptos2019Source,
    CsvSource,
    DdrSource,
    DeepdridSource,
    EyepacsSource,
    IdridSource,
    Messidor2Source,
    SourceSettings,
)
from raydr.data.budget import BudgetRule
from raydr.data.index import IndexResult, build_index
from raydr.data.layouts.aptos2019 import Aptos2019
from raydr.data.layouts.csv_file import Columns, CsvFile
from raydr.data.layouts.ddr import Ddr
from raydr.data.layouts.deepdrid import DeepDrid
from raydr.data.layouts.eyepacs import EyePacs
from raydr.data.layouts.idrid import Idrid
from raydr.data.layouts.layout import Layout
from raydr.data.layouts.messidor2 import Messidor2
from raydr.data.manifest import grades_of, rows_of_images, summary
from raydr.data.partition import SplitRule
from raydr.data.sources import Source
from raydr.grades import NUM_GRADES
from raydr.workflows.console import say
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.result import StageResult


def index(settings: IndexSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of indexing; its artifacts are `manifest` and `budget`, and `exams` where exams were graded."""
    sources = [_source(name, source) for name, source in settings.sources.items()]

    def body(stage: Stage) -> Outcome:
        found = build_index(
            sources,
            splits=SplitRule(**settings.splits.model_dump()),
            budget=BudgetRule(**settings.budget.model_dump()),
            waive=settings.waive,
        )
        counts = summary(found.manifest)
        for row in counts:
            grades = "/".join(str(row[f"grade_{grade}"]) for grade in range(5))
            say(f"  {row['dataset']} {row['split']}: {row['images']} images, {row['patients']} patients, {grades}")
        if found.leak.num_patients:
            say(f"  {found.leak}")
        budget_grades = _budget_grades(found)
        say(
            f"  label budget: {found.budget.num_rows} images, {'/'.join(map(str, budget_grades))} "
            f"(digest {found.budget_digest[:12]})"
        )
        artifacts = {"manifest": stage.path("manifest.parquet"), "budget": stage.path("budget.parquet")}
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
            "num_unreadable": found.audit.num_unreadable,
            "num_shared_patients": len(found.audit.shared_patients),
            "num_shared_files": len(found.audit.shared_files),
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


def _source(name: str, settings: SourceSettings) -> Source:
    return Source(
        name, _layout(settings), external=settings.role == "external", drop_missing=settings.missing == "drop"
    )


def _layout(settings: SourceSettings) -> Layout:
    match settings:
        case CsvSource():
            return CsvFile(
                images=storage.absolute(settings.images),
                labels=settings.labels,
                splits=settings.splits,
                columns=Columns(**settings.columns.model_dump()),
            )
        case EyepacsSource():
            return EyePacs(
                images=storage.absolute(settings.images),
                labels=settings.labels,
                test_images=None if settings.test_images is None else storage.absolute(settings.test_images),
                test_labels=settings.test_labels,
                gradability=settings.gradability,
                splits=settings.splits,
                allow_partial=settings.allow_partial,
            )
        case Messidor2Source():
            return Messidor2(
                images=storage.join(storage.absolute(settings.root), settings.images),
                labels=storage.join(settings.root, settings.labels),
                pairs=storage.join(settings.root, settings.pairs),
                exams=storage.join(settings.root, settings.exams),
                label_source=settings.label_source,
                allow_partial=settings.allow_partial,
            )
        case Aptos2019Source():
            return Aptos2019(
                images=storage.join(storage.absolute(settings.root), settings.images),
                labels=storage.join(settings.root, settings.labels),
                allow_partial=settings.allow_partial,
            )
        case IdridSource():
            return Idrid(settings.root, allow_partial=settings.allow_partial)
        case DdrSource():
            return Ddr(settings.root, allow_partial=settings.allow_partial)
        case DeepdridSource():
            return DeepDrid(settings.root, allow_partial=settings.allow_partial)
