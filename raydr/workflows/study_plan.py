"""What a study stands on, and what each of its cells is: images, label budgets, backbones, digests."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raydr import storage
from raydr.build import build_preprocess, check_losses, check_method
from raydr.config.arms import PRETRAINED, Arm, DistillArm, Stage
from raydr.config.grid import ALL, CellName
from raydr.config.images import DataSettings
from raydr.config.jobs import IndexSettings, PretrainSettings, StudySettings
from raydr.config.override import with_overrides
from raydr.config.stages import DistillStage, FinetuneStage
from raydr.data.budget import BudgetRule, digest_in
from raydr.data.index import drawn_budget
from raydr.data.manifest import grades_of, rows_of_images
from raydr.engine.package import NUM_OUTPUTS, Head
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.study.cell import CellOrders, Kind, Teachers, model_names
from raydr.workflows.digests import digest_of_input
from raydr.workflows.images import Rows, rows_of
from raydr.workflows.index import index
from raydr.workflows.job import Pipeline
from raydr.workflows.job import Stage as OpenStage
from raydr.workflows.learn import check_start, model_input
from raydr.workflows.pretrain import pretrain

CELLS: Final = "cells"
_WATCHED_FRACTION: Final = 0.1
"""Of the labels, for the check on the features while a backbone is pretrained."""
_SAVE_EVERY_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Whose training labels a cell may use."""

    uri: str
    digest: str
    rows: NDArray[np.int64]
    """Of the manifest, sorted."""
    grades: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ground:
    """What all cells of a study stand on."""

    manifest: str
    manifest_digest: str
    rows: Rows
    preprocess: Preprocess
    budgets: Mapping[tuple[str, int], Budget]
    """By the budget as it is written, and by draw."""
    backbones: Mapping[str, str]
    """Folder of each pretraining's model by its name."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of the study."""

    name: CellName
    kind: Kind
    settings: Stage
    """At its budget; `model.weights` is a place, not the name of a pretraining."""
    folder: str
    identity: str
    """Digest of all that shapes it."""
    budget: Budget
    teacher: "Cell | None"
    head: Head

    @property
    def models(self) -> tuple[str, ...]:
        """Folders of its networks."""
        ensemble = self.settings.ensemble if isinstance(self.settings, FinetuneStage) else 1
        return tuple(storage.join(self.folder, name) for name in model_names(ensemble))

    def num_views(self, *, num_train: int) -> int:
        """About how many views its training looks at: what its time is about proportional to."""
        settings, num_labels = self.settings, len(self.budget.rows)
        if isinstance(settings, FinetuneStage):
            return settings.optim.epochs * settings.ensemble * num_labels
        if isinstance(settings, DistillStage):
            views = (1 + settings.labelled_fraction) * (2 if settings.distillation.consistency_weight else 1)
            return round(settings.optim.epochs * num_train * views)
        return num_labels


def check_arms(settings: StudySettings) -> None:
    """Raise InputError for a network or a loss that no cell can be built of, before hours of the others."""
    cells = settings.cells
    for name, start in {cell.arm: settings.arms[cell.arm].stage(cell.budget) for cell in cells}.items():
        weights = start.model.weights
        if weights.startswith(PRETRAINED):
            wanted = settings.pretrains[weights.removeprefix(PRETRAINED)]
            check_method(wanted.model, wanted.method, f"{weights}.model.backbone")
        else:
            check_start(f"arms.{name}.model.backbone", start.model.backbone, weights)
    for cell in cells:
        stage = settings.arms[cell.arm].stage(cell.budget)
        if isinstance(stage, DistillStage):
            try:
                check_losses(stage.distillation, NUM_OUTPUTS[head_of(settings, cell.arm, cell.budget)])
            except InputError as error:
                raise InputError(f"arms.{cell.arm}.{error}") from None


def weights_inputs(settings: StudySettings) -> dict[str, str]:
    """The folders and files that backbones start from, as a stage's inputs."""
    starts = {settings.arms[cell.arm].stage(cell.budget).model.weights for cell in settings.cells}
    starts |= {stage.model.weights for stage in settings.pretrains.values()}
    found = sorted(start for start in starts if model_input(start) and not start.startswith(PRETRAINED))
    return {f"weights_{number}" if number else "weights": uri for number, uri in enumerate(found)}


def head_of(settings: StudySettings, arm: str, budget: str) -> Head:
    """What an arm's model predicts: a student's is its teacher's."""
    found: Arm = settings.arms[arm]
    if isinstance(found, DistillArm):
        return found.head if found.teacher is None else head_of(settings, found.teacher, budget)
    stage = found.stage(budget)
    return stage.head.kind if isinstance(stage, FinetuneStage) else "binary"


def lay_ground(stage: OpenStage, settings: StudySettings) -> Ground:
    """Index the images, draw the label budgets, pretrain the backbones; what stands is not made again.

    Raises:
        InputError: No validation patient with a grade, a budget of more labels than there are.
    """
    pipeline = Pipeline(lambda: (stage.tracker, stage.run_id))
    indexed = index(_job(IndexSettings, "index", stage.path("index"), settings, settings.index), pipeline=pipeline)
    manifest = indexed.artifacts["manifest"]
    rows = rows_of(DataSettings(manifest=manifest))
    if not len(rows.validation):
        raise InputError(f"{manifest}: split: no graded validation image to choose by")
    budgets = {
        (cell.budget, cell.draw): _draw(stage, rows, cell.budget, cell.draw)
        for cell in dict.fromkeys(cell.of_arm("") for cell in settings.cells)
    }
    wanted = [name for name in settings.pretrains if PRETRAINED + name in _starts(settings)]
    backbones = {}
    for name in wanted:
        data = {"manifest": manifest, "budget": _watched(stage, rows)}
        part = {"data": data, "preprocess": settings.preprocess.model_dump(mode="json")}
        out = stage.path(f"pretrain-{name}")
        job = _job(PretrainSettings, "pretrain", out, settings, settings.pretrains[name], **part)
        backbones[name] = pretrain(job, pipeline=pipeline).artifacts["model"]
    digest = storage.digest_file(manifest)
    return Ground(manifest, digest, rows, build_preprocess(settings.preprocess), budgets, backbones)


def plan_cells(stage: OpenStage, settings: StudySettings, ground: Ground) -> list[Cell]:
    """The cells that are wanted, each after its teacher's."""
    digests: dict[str, str] = {}
    found: dict[CellName, Cell] = {}
    for name in settings.cells:
        arm = settings.arms[name.arm]
        own, weights = arm.stage(name.budget), None
        start = own.model.weights
        if start.startswith(PRETRAINED):
            weights = ground.backbones[start.removeprefix(PRETRAINED)]
        elif model_input(start) is not None:
            weights = storage.absolute(start)
        if weights is not None:
            own = with_overrides(own, {"model.weights": weights})
            digests.setdefault(weights, digest_of_input("weights", weights))
        teacher = found[name.of_arm(arm.teacher)] if isinstance(arm, DistillArm) and arm.teacher else None
        budget = ground.budgets[name.budget, name.draw]
        head = head_of(settings, name.arm, name.budget)
        tree = own.model_dump(mode="json")
        tree["model"]["weights"] = start if weights is None else digests[weights]
        shaping = {
            "kind": arm.kind,
            "settings": tree,
            "head": head,
            "seed": settings.seed + name.seed,
            "manifest": ground.manifest_digest,
            "budget": budget.digest,
            "preprocess": settings.preprocess.model_dump(mode="json"),
            "teacher": None if teacher is None else teacher.identity,
        }
        found[name] = Cell(
            name=name,
            kind=arm.kind,
            settings=own,
            folder=stage.path(CELLS, *str(name).split("/")),
            identity=_digest(shaping),
            budget=budget,
            teacher=teacher,
            head=head,
        )
    return list(found.values())


def orders_of(cell: Cell, settings: StudySettings, ground: Ground, *, num_threads: int, run_id: str) -> CellOrders:
    """What a cell's task is told."""
    cluster, teacher = settings.cluster, cell.teacher
    teachers = None
    if teacher is not None:
        teachers = Teachers(teacher.models, storage.join(teacher.folder, f"outputs-{teacher.identity[:12]}"))
    return CellOrders(
        name=str(cell.name),
        identity=cell.identity,
        folder=cell.folder,
        kind=cell.kind,
        settings=cell.settings.model_dump(mode="json"),
        seed=settings.seed + cell.name.seed,
        rows=cell.budget.rows,
        grades=cell.budget.grades,
        preprocess=ground.preprocess,
        provenance={
            "manifest": ground.manifest_digest,
            "budget": cell.budget.digest,
            "study_cell": str(cell.name),
            "mlflow_run_id": run_id,
        },
        head=cell.head,
        teachers=teachers,
        num_threads=num_threads,
        save_every_s=_SAVE_EVERY_S,
        save_within_s=None if cluster.save_every_minutes is None else 60 * cluster.save_every_minutes,
        save_every_steps=cluster.save_every_steps,
    )


def study_identity(settings: StudySettings, ground: Ground) -> str:
    """Digest of what was chosen: arms, pretrainings, the input of networks, the images.

    Which cells are trained, and where, is not in it.
    """
    chosen = settings.model_dump(mode="json", include={"arms", "pretrains", "preprocess", "seed"})
    return _digest({**chosen, "manifest": ground.manifest_digest})


def _job(kind: Callable[..., Any], verb: str, out: str, settings: StudySettings, part: Any, **more: Any) -> Any:
    base = {
        "seed": settings.seed,
        "cluster": settings.cluster.model_dump(),
        "tracking": settings.tracking.model_dump(),
    }
    return kind(**{**base, **part.model_dump(mode="json"), "job": verb, "out": out, **more})


def _starts(settings: StudySettings) -> set[str]:
    return {settings.arms[cell.arm].stage(cell.budget).model.weights for cell in settings.cells}


def _draw(stage: OpenStage, rows: Rows, budget: str, draw: int) -> Budget:
    """One draw of the labels, written down."""
    grades = grades_of(rows.manifest)
    num_graded = int((grades[rows.train] >= 0).sum())
    if budget != ALL and int(budget) > num_graded:
        raise InputError(f"budgets: {budget} is more than the {num_graded} training images with a grade")
    rule = BudgetRule(fraction=1.0) if budget == ALL else BudgetRule(fraction=None, count=int(budget), seed=draw)
    return _written(stage.path("budgets", f"draw-{draw}-{budget}.parquet"), rows, drawn_budget(rows.manifest, rule))


def _watched(stage: OpenStage, rows: Rows) -> str:
    rule = BudgetRule(fraction=_WATCHED_FRACTION)
    return _written(stage.path("budgets", "watched.parquet"), rows, drawn_budget(rows.manifest, rule)).uri


def _written(uri: str, rows: Rows, table: pa.Table) -> Budget:
    storage.write_table(uri, table)
    chosen = np.sort(rows_of_images(rows.manifest, table["image_id"].to_pylist()))
    return Budget(uri, digest_in(table) or "", chosen, grades_of(rows.manifest)[chosen])


def _digest(tree: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()
