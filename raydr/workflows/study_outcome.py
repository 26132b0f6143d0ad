"""The end of a study: its table in the terminal, in CSV files, in MLflow and on a page."""

import dataclasses
import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from raydr import storage
from raydr.config.arms import Arm, DistillArm, ProbeArm
from raydr.config.jobs import StudySettings
from raydr.config.show import as_toml
from raydr.data.manifest import read_manifest, summary
from raydr.metrics.label_efficiency import VALIDATION, LabelEfficiency, StudyCell, label_efficiency
from raydr.reporting.study_report import StudyReport, write_study_report
from raydr.reporting.study_table import cells_csv, study_terminal_table, table_csv
from raydr.reporting.wording import counted
from raydr.study.records import AucFigures
from raydr.tracking.store import without_credentials
from raydr.workflows.console import say
from raydr.workflows.data_reports import REPORT
from raydr.workflows.job import Outcome, Stage
from raydr.workflows.study_cells import Trained
from raydr.workflows.study_ground import Ground
from raydr.workflows.study_pairs import difference_errors
from raydr.workflows.study_plan import Cell, study_identity
from raydr.workflows.study_tests import OPENINGS, openings

_FILES: Final = {"report": REPORT, "table": "table.csv", "cells": "cells.csv"}


def conclude(
    stage: Stage,
    settings: StudySettings,
    ground: Ground,
    trained: Trained,
    tested: Mapping[str, Mapping[str, AucFigures]],
    *,
    machine: str,
    seconds: Mapping[str, float],
) -> Outcome:
    """Gather the figures, say the table, write the report.

    Args:
        stage: The study's.
        settings: Likewise.
        ground: Likewise.
        trained: Its cells.
        tested: Each cell's figures on each test set; empty while those are closed.
        machine: What it ran on, in words.
        seconds: That its parts took, by name.
    """
    cells = study_cells(trained, tested, reference=settings.reference)
    rows = label_efficiency(cells, reference=settings.reference)
    opened, names = openings(stage), list(settings.arms)
    if rows:
        say(study_terminal_table(rows, names))
    artifacts = {name: stage.path(file) for name, file in _FILES.items()}
    storage.write_bytes(artifacts["table"], table_csv(rows).encode())
    storage.write_bytes(artifacts["cells"], cells_csv(cells).encode())
    report = StudyReport(
        title=f"raydr study: {storage.absolute(settings.out).rstrip('/').rsplit('/', 1)[-1]}",
        created=datetime.datetime.now(datetime.UTC),
        cells=cells,
        arms={name: arm_words(arm, settings.budget_names) for name, arm in settings.arms.items()},
        reference=settings.reference,
        seconds=seconds,
        machine=machine,
        failed=trained.failures,
        study=study_identity(settings, ground),
        openings=opened,
        data=summary(read_manifest(ground.manifest)),
        settings=without_credentials(as_toml(settings)),
        digests={"settings": stage.settings_digest, **stage.inputs},
    )
    write_study_report(artifacts["report"], report)
    stage.tracker.log_files(stage.run_id, list(artifacts.values()))
    artifacts["manifest"] = ground.manifest
    if opened:
        artifacts["openings"] = stage.path(OPENINGS)
    metrics: dict[str, Any] = {
        "cells": [dataclasses.asdict(cell) for cell in cells],
        "table": [dataclasses.asdict(row) for row in rows],
        "openings": len(opened),
        "study_identity": report.study,
        "seconds": dict(seconds),
    }
    return Outcome(metrics, artifacts, dict(_logged(rows)))


def study_cells(
    trained: Trained, tested: Mapping[str, Mapping[str, AucFigures]], *, reference: str | None
) -> list[StudyCell]:
    """A row for each trained cell and data set: the validation patients, then the test sets."""
    errors = difference_errors(trained.cells, tested, reference)
    return [
        _row(cell, dataset, figures, trained, errors.get((str(cell.name), dataset), math.nan))
        for cell in trained.cells
        if str(cell.name) in trained.records
        for dataset, figures in {
            VALIDATION: trained.records[str(cell.name)].validation,
            **tested.get(str(cell.name), {}),
        }.items()
    ]


def arm_words(arm: Arm, budgets: Sequence[str]) -> str:
    """What an arm is, in a few words."""
    start = {"none": "random weights", "timm": "timm's published weights"}.get(arm.model.weights, arm.model.weights)
    if isinstance(arm, DistillArm) and arm.start == "teacher":
        start = "its teacher's network"
    network = f"{arm.model.backbone} from {start}"
    if isinstance(arm, ProbeArm):
        return f"logistic regression on the frozen features of {network}"
    lengths = sorted({arm.stage(budget).optim.epochs for budget in budgets})
    epochs = f"{lengths[0]} to {lengths[-1]} epochs" if len(lengths) > 1 else counted(lengths[0], "epoch")
    if not isinstance(arm, DistillArm):
        networks = f"{arm.ensemble} × " if arm.ensemble > 1 else ""
        return f"fine-tuned on the labels: {networks}{network}, {epochs}"
    who = "nobody but its own sure calls" if arm.teacher is None else arm.teacher
    return f"student on all training images, taught by {who}: {network}, {epochs}"


def _row(cell: Cell, dataset: str, figures: AucFigures, trained: Trained, difference_error: float) -> StudyCell:
    record = trained.records[str(cell.name)]
    return StudyCell(
        arm=cell.name.arm,
        budget=cell.name.budget,
        num_labels=record.num_labels,
        draw=cell.name.draw,
        seed=cell.name.seed,
        dataset=dataset,
        seconds=record.seconds,
        difference_error=difference_error,
        **dataclasses.asdict(figures),
    )


def _logged(rows: Sequence[LabelEfficiency]) -> Iterator[tuple[str, float]]:
    """Mean AUCs over draws, for MLflow."""
    for row in rows:
        yield f"auc.{row.dataset}.{row.arm}.{row.budget}", row.auc.mean
