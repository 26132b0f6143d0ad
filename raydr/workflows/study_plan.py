"""What each cell of a study is: settings, labels, seed, teacher, and the digest of all that shapes it."""

from dataclasses import dataclass
from typing import Any, Final

from raydr import storage
from raydr.build import check_losses, check_method, check_start_from_teacher
from raydr.config.arms import PRETRAINED, Arm, DistillArm, Stage
from raydr.config.grid import CellName
from raydr.config.jobs import StudySettings
from raydr.config.override import with_overrides
from raydr.config.stages import DistillStage, FinetuneStage
from raydr.engine.package import DESCRIPTION, NUM_OUTPUTS, Head, copy_model
from raydr.errors import InputError
from raydr.study.cell import CellOrders, Teachers, model_names
from raydr.workflows.digests import digest_of_input, digest_of_tree
from raydr.workflows.job import Stage as OpenStage
from raydr.workflows.learn import check_start, model_input
from raydr.workflows.study_ground import Budget, Ground

CELLS: Final = "cells"
_SAVE_EVERY_S: Final = 30.0
_LATER: Final = {"validate_every_epochs": 1, "view_side_px": None}
"""Keys that identities were computed without, and the value at which a training is what it was without them."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of the study."""

    name: CellName
    settings: Stage
    """At its budget; `model.weights` is a place, not the name of a pretraining."""
    seed: int
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
    starts = set()
    for arm, budget in dict.fromkeys((cell.arm, cell.budget) for cell in settings.cells):
        stage = settings.arms[arm].stage(budget)
        starts.add((arm, stage.model.backbone, stage.model.weights))
        if isinstance(stage, DistillStage):
            try:
                check_losses(stage.distillation, NUM_OUTPUTS[head_of(settings, arm, budget)])
                if (teacher := settings.teachers.get(arm)) is not None:
                    check_start_from_teacher(stage, settings.arms[teacher].stage(budget).model.backbone)
            except InputError as error:
                raise InputError(f"arms.{arm}.{error}") from None
    for arm, backbone, weights in sorted(starts):
        if weights.startswith(PRETRAINED):
            wanted = settings.pretrains[weights.removeprefix(PRETRAINED)]
            check_method(wanted.model, wanted.method, f"{weights}.model.backbone")
        else:
            check_start(f"arms.{arm}.model.backbone", backbone, weights)


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


def plan_cells(stage: OpenStage, settings: StudySettings, ground: Ground) -> list[Cell]:
    """The cells of the grid, each after its teacher's.

    Those that `only` leaves out are among them but where what they start from is not there.
    """
    starts = _starts(stage, settings, ground)
    found: dict[CellName, Cell] = {}
    for name in settings.grid:
        arm = settings.arms[name.arm]
        own = arm.stage(name.budget)
        teacher = found.get(name.of_arm(arm.teacher)) if isinstance(arm, DistillArm) and arm.teacher else None
        if own.model.weights not in starts or (teacher is None and name.arm in settings.teachers):
            continue
        place, weights = starts[own.model.weights]
        own = with_overrides(own, {"model.weights": place})
        budget, head = ground.budgets[name.budget, name.draw], head_of(settings, name.arm, name.budget)
        seed = name.seed_from(settings.seed)
        shaping = {
            "kind": arm.kind,
            "settings": _shaping(own, weights),
            "head": head,
            "seed": seed,
            "images": ground.images,
            "budget": budget.digest,
            "preprocess": settings.preprocess.model_dump(mode="json"),
            "teacher": None if teacher is None else teacher.identity,
        }
        folder = stage.path(CELLS, *str(name).split("/"))
        found[name] = Cell(name, own, seed, folder, digest_of_tree(shaping), budget, teacher, head)
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
        settings=cell.settings,
        seed=cell.seed,
        rows=cell.budget.rows,
        grades=cell.budget.grades,
        preprocess=ground.preprocess,
        provenance={
            "images": ground.images,
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
    return digest_of_tree({**chosen, "images": ground.images})


def _starts(stage: OpenStage, settings: StudySettings, ground: Ground) -> dict[str, tuple[str, str]]:
    """Place and digest of the weights that backbones start from, by their name in the settings.

    What only cells start from that nobody wants is not among them where it is not there.
    """
    wanted = {settings.arms[cell.arm].stage(cell.budget).model.weights for cell in settings.cells}
    found = {}
    for start in {settings.arms[cell.arm].stage(cell.budget).model.weights for cell in settings.grid}:
        place: str | None = start
        if start.startswith(PRETRAINED):
            place = ground.backbones.get(start.removeprefix(PRETRAINED))
        elif model_input(start) is None:
            found[start] = start, start
            continue
        else:
            place = storage.absolute(start)
        if place is not None and (start in wanted or storage.exists(place)):
            digest = digest_of_input("weights", place)
            found[start] = _for_all_nodes(stage, place, digest), digest
    return found


def _for_all_nodes(stage: OpenStage, place: str, digest: str) -> str:
    """Where every node can read weights: what lies on this machine's disk is copied below the study's folder."""
    if not storage.is_local(place) or place.startswith(f"{stage.out}/"):
        return place
    copy = stage.path("weights", digest[:12], place.rstrip("/").rsplit("/", 1)[-1])
    if not storage.is_folder(place):
        if not storage.exists(copy):
            storage.write_bytes(copy, storage.read_bytes(place))
    elif not storage.exists(storage.join(place, DESCRIPTION)):
        return place
    elif not storage.exists(storage.join(copy, DESCRIPTION)):
        copy_model(place, copy)
    return copy


def _shaping(settings: Stage, weights: str) -> dict[str, Any]:
    """What of a cell's settings shapes it, ``weights`` in place of where they are.

    Every key at its value, a default too: one that changes with a release makes another cell.
    """
    tree = settings.model_dump(mode="json")
    tree["model"]["weights"] = weights
    return {key: value for key, value in tree.items() if (key, value) not in _LATER.items()}
