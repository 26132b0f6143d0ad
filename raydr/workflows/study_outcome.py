"""The end of a study: its table, its figures in MLflow, its page."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from raydr.config.jobs import StudySettings
from raydr.metrics.label_efficiency import VALIDATION, StudyCell
from raydr.study.records import AucFigures, CellRecord
from raydr.workflows.job import Outcome, Stage
from raydr.workflows.study_cells import means
from raydr.workflows.study_plan import Cell, Ground
from raydr.workflows.study_tests import openings


def conclude(
    stage: Stage,
    settings: StudySettings,
    ground: Ground,
    cells: Sequence[Cell],
    records: Mapping[str, CellRecord],
    tested: Mapping[str, Mapping[str, AucFigures]] | None,
) -> Outcome:
    """Gather the figures, say the table, write the report."""
    rows = study_cells(cells, records, tested or {})
    opened = openings(stage)
    metrics: dict[str, Any] = {
        "cells": [dataclasses.asdict(row) for row in rows],
        "openings": len(opened),
    }
    return Outcome(metrics, {"manifest": ground.manifest}, means(records))


def study_cells(
    cells: Sequence[Cell], records: Mapping[str, CellRecord], tested: Mapping[str, Mapping[str, AucFigures]]
) -> list[StudyCell]:
    """A row for each cell and data set: the validation patients, then the test sets."""
    found = []
    for cell in cells:
        name, record = cell.name, records[str(cell.name)]
        for dataset, figures in {VALIDATION: record.validation, **tested.get(str(name), {})}.items():
            found.append(
                StudyCell(
                    arm=name.arm,
                    budget=name.budget,
                    num_labels=record.num_labels,
                    draw=name.draw,
                    seed=name.seed,
                    dataset=dataset,
                    seconds=record.seconds,
                    **dataclasses.asdict(figures),
                )
            )
    return found
