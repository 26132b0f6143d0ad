"""What a study stands on: its images, its label budgets, its pretrained backbones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raydr import storage
from raydr.build import build_preprocess
from raydr.config.arms import PRETRAINED
from raydr.config.grid import ALL, CellName
from raydr.config.images import DataSettings
from raydr.config.jobs import IndexSettings, PretrainSettings, StudySettings
from raydr.data.budget import BudgetRule, digest_in
from raydr.data.index import drawn_budget
from raydr.data.manifest import digest_of_rows, grades_of, read_manifest, rows_of_images
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.workflows.images import Rows, rows_of
from raydr.workflows.index import index
from raydr.workflows.job import Pipeline, Stage
from raydr.workflows.pretrain import pretrain, pretrained
from raydr.workflows.sections import job_of

_LEARNING: Final = pa.array(["train", "val"])
"""The splits that anything is learnt from or chosen by."""
_WATCHED_FRACTION: Final = 0.1
"""Of the labels, for the check on the features while a backbone is pretrained."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Whose training labels a cell may use."""

    uri: str
    digest: str
    rows: NDArray[np.int64]
    """Of the images that are learnt from, sorted."""
    grades: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ground:
    """What all cells of a study stand on."""

    manifest: str
    """Of all images, the test sets' too; `exams.parquet` may lie beside it."""
    learning: str
    """The rows of its training and validation patients, in a file of their own: what cells and pretrainings see."""
    images: str
    """Digest of those rows: a new test set changes no cell, nor do photographs that were moved."""
    rows: Rows
    """Of `learning`."""
    preprocess: Preprocess
    budgets: Mapping[tuple[str, int], Budget]
    """By the budget as it is written, and by draw."""
    backbones: Mapping[str, str]
    """Folder of each pretraining's model by its name; of those that no wanted cell needs, where they stand."""


def lay_ground(stage: Stage, settings: StudySettings) -> Ground:
    """Index the images, draw the label budgets, pretrain the backbones; what stands is not made again.

    Raises:
        InputError: No validation patient with a grade, a budget of more labels than there are.
    """
    pipeline = Pipeline(lambda: (stage.tracker, stage.run_id))
    indexed = index(job_of(IndexSettings, "index", stage.path("index"), settings, settings.index), pipeline=pipeline)
    manifest, learning = indexed.artifacts["manifest"], stage.path("learning.parquet")
    storage.write_table(learning, learning_rows(read_manifest(manifest)))
    rows = rows_of(DataSettings(manifest=learning))
    if not len(rows.validation):
        raise InputError(f"{manifest}: split: no graded validation image to choose by")
    images = digest_of_rows(rows.manifest)
    budgets = draw_budgets(stage, rows, settings.grid)
    wanted = {settings.arms[cell.arm].stage(cell.budget).model.weights for cell in settings.cells}
    data = {"manifest": learning, "budget": _watched(stage, rows)}
    part = {"data": data, "preprocess": settings.preprocess.model_dump(mode="json")}
    backbones = {}
    for name, one in settings.pretrains.items():
        job = job_of(PretrainSettings, "pretrain", stage.path(f"pretrain-{name}"), settings, one, **part)
        if PRETRAINED + name in wanted:
            backbones[name] = pretrain(job, pipeline=pipeline, digests={"manifest": images}).artifacts["model"]
        elif (model := pretrained(job, {"manifest": images})) is not None:
            backbones[name] = model
    return Ground(manifest, learning, images, rows, build_preprocess(settings.preprocess), budgets, backbones)


def learning_rows(manifest: pa.Table) -> pa.Table:
    """The rows of a manifest that anything is learnt from or chosen by."""
    return manifest.filter(pc.is_in(manifest["split"], value_set=_LEARNING))


def draw_budgets(stage: Stage, rows: Rows, cells: list[CellName]) -> dict[tuple[str, int], Budget]:
    """The label budgets of cells, by budget and draw, written down.

    Raises:
        InputError: A budget of more labels than there are.
    """
    num_graded = int((grades_of(rows.manifest)[rows.train] >= 0).sum())
    found = {}
    for budget, draw in dict.fromkeys((cell.budget, cell.draw) for cell in cells):
        if budget != ALL and int(budget) > num_graded:
            raise InputError(f"budgets: {budget} is more than the {num_graded} training images with a grade")
        rule = BudgetRule(fraction=1.0) if budget == ALL else BudgetRule(fraction=None, count=int(budget), seed=draw)
        uri = stage.path("budgets", f"draw-{draw}-{budget}.parquet")
        found[budget, draw] = _written(uri, rows, drawn_budget(rows.manifest, rule))
    return found


def _watched(stage: Stage, rows: Rows) -> str:
    rule = BudgetRule(fraction=_WATCHED_FRACTION)
    return _written(stage.path("budgets", "watched.parquet"), rows, drawn_budget(rows.manifest, rule)).uri


def _written(uri: str, rows: Rows, table: pa.Table) -> Budget:
    storage.write_table(uri, table)
    chosen = np.sort(rows_of_images(rows.manifest, table["image_id"].to_pylist()))
    return Budget(uri, digest_in(table) or "", chosen, grades_of(rows.manifest)[chosen])
