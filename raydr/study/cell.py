"""One cell: a training inside a task of Ray, with images that all cells share."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from raydr import storage
from raydr.config.arms import ProbeStage, Stage
from raydr.config.stages import DistillStage, FinetuneStage
from raydr.engine.batch import Pool
from raydr.engine.package import NUM_OUTPUTS, Head, load_model, read_description
from raydr.engine.score import mean_logits, score_share
from raydr.engine.sources import ShuffledPool, local_batch_size
from raydr.grades import REFERABLE_GRADE
from raydr.images.dihedral import NumViews
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.learning.distil import DistilImages, Teaching, distil
from raydr.learning.finetune import FinetuneImages, finetune
from raydr.learning.probe import probe
from raydr.learning.validation import Learnt
from raydr.study.context import CellContext
from raydr.study.records import STATES, AucFigures, CellRecord, auc_figures, write_record
from raydr.training.single import SingleContext
from raydr.training.teacher import read_teacher_logits, write_teacher_logits

_CELL: Final = "cell"
"""In a model's provenance: the identity of the cell that made it."""
_SEEDS_APART: Final = 1_000_000
"""Between the networks of an ensemble: more than `CellName.seed_from` has between cells."""


@dataclass(frozen=True, slots=True)
class StudyImages:
    """What all cells share in the object store."""

    pool: Pool
    """All training images, without grades."""
    validation: Pool
    patients: Mapping[int, int]
    """From a validation image's row to a number of its patient."""
    fellow: NDArray[np.int64]
    """[rows of the manifest] the row of the same patient's other eye, or -1."""


@dataclass(frozen=True, slots=True)
class Teachers:
    """The models that teach a cell."""

    folders: tuple[str, ...]
    outputs: str
    """A file for what they say of all training images, how many views ever."""


@dataclass(frozen=True, slots=True)
class CellOrders:
    """What one cell is told."""

    name: str
    identity: str
    folder: str
    settings: Stage
    seed: int
    rows: NDArray[np.int64]
    """Labelled rows of the manifest, sorted."""
    grades: NDArray[np.int64]
    preprocess: Preprocess
    provenance: Mapping[str, str]
    head: Head
    """Of a student that nobody teaches."""
    teachers: Teachers | None
    num_threads: int
    save_every_s: float
    """Between states at the ends of epochs."""
    save_within_s: float | None
    save_every_steps: int | None
    """Between states in the middle of an epoch; None: there are none by the clock, or by steps."""

    @property
    def num_networks(self) -> int:
        """That it trains."""
        return self.settings.ensemble if isinstance(self.settings, FinetuneStage) else 1


def model_names(num_networks: int) -> tuple[str, ...]:
    """Folders of a cell's networks below its own."""
    return ("model", *(f"model-{number}" for number in range(1, num_networks)))


def run_cell(orders: CellOrders, images: StudyImages) -> CellRecord:
    """Train a cell, or the rest of it, and write its models and its record; what it went on from is deleted."""
    torch.set_num_threads(orders.num_threads)
    clock = time.monotonic()
    lesson = _Lesson(orders, images, labelled_pool(images.pool, orders.rows, orders.grades))
    models = model_names(orders.num_networks)
    (first, seconds), *others = (lesson.learn(model, number) for number, model in enumerate(models))
    progress = first.progress
    record = CellRecord(
        name=orders.name,
        identity=orders.identity,
        models=models,
        num_labels=len(lesson.labelled),
        seconds=round(time.monotonic() - clock + seconds + sum(before for _, before in others), 2),
        validation=_validated(first.probability, images),
        best_epoch=None if progress.best_epoch is None else progress.best_epoch + 1,
        choices=first.choices,
        history=progress.history,
    )
    write_record(orders.folder, record)
    storage.delete_folder(storage.join(orders.folder, STATES))
    return record


def score_cell(folder: str, pool: Pool, num_threads: int) -> NDArray[np.float32]:
    """Logits [N, outputs] of the model in ``folder`` on a pool, in its order."""
    torch.set_num_threads(num_threads)
    device = SingleContext().device
    return score_share(load_model(folder).network.to(device), pool, device=device)


def labelled_pool(pool: Pool, rows: NDArray[np.int64], grades: NDArray[np.int64]) -> Pool:
    """The images of some rows with their grades; those that could not be read are not there.

    Args:
        pool: Sorted by row.
        rows: Sorted.
        grades: Of each row.
    """
    is_there = np.isin(rows, pool.row)
    rows, grades = rows[is_there], grades[is_there]
    if len(rows) == len(pool):
        return Pool(pool.image, rows, grades)  # hundreds of megabytes that need no copy
    return Pool(pool.image[np.searchsorted(pool.row, rows)], rows, grades)


@dataclass(frozen=True, slots=True)
class _Lesson:
    orders: CellOrders
    images: StudyImages
    labelled: Pool

    def learn(self, model: str, number: int) -> tuple[Learnt, float]:
        """One network, and the seconds that attempts before this one spent on what it goes on from."""
        orders = self.orders
        assignment = Assignment(
            preprocess=orders.preprocess,
            model_folder=storage.join(orders.folder, model),
            seed=orders.seed + number * _SEEDS_APART,
            settings_digest=orders.identity,
            provenance={**orders.provenance, _CELL: orders.identity},
            patients=self.images.patients,
            save_every_steps=orders.save_every_steps,
            save_every_s=orders.save_within_s,
        )
        states = storage.join(orders.folder, STATES, f"{orders.identity[:12]}-{model}")
        context = CellContext(states, save_every_s=orders.save_every_s)
        return self._learn(assignment, context), context.seconds_before

    def _learn(self, assignment: Assignment, context: CellContext) -> Learnt:
        images = self.images
        match self.orders.settings:
            case FinetuneStage() as tuned:
                source = self._shuffled(self.labelled, tuned, assignment.seed)
                wanted = FinetuneImages(source, self.labelled, images.validation)
                return finetune(tuned, wanted, assignment, context)
            case ProbeStage() as probed:
                return probe(probed, self.labelled, images.validation, assignment, context)
            case DistillStage() as student:
                source = self._shuffled(images.pool, student, assignment.seed)
                teaching = self._teaching(student, context.device)
                taught = DistilImages(source, self.labelled, images.validation)
                return distil(student, taught, teaching, assignment, context)

    def _shuffled(self, pool: Pool, settings: FinetuneStage | DistillStage, seed: int) -> ShuffledPool:
        return ShuffledPool(pool, local_batch_size(len(pool), settings.optim.batch_size, 1), seed=seed)

    def _teaching(self, settings: DistillStage, device: torch.device) -> Teaching:
        teachers, wanted = self.orders.teachers, settings.distillation
        if teachers is None:
            head = self.orders.head
            nothing = np.full((len(self.images.fellow), NUM_OUTPUTS[head]), np.nan, dtype=np.float32)
            return Teaching(nothing, head)
        head = read_description(teachers.folders[0]).head or self.orders.head
        if not wanted.asks_beforehand:
            return Teaching(None, head, teachers.folders)
        rows = self.images.pool.row
        found = _outputs(teachers, self.images.pool, wanted.teacher_views, device)
        logits = np.full((len(self.images.fellow), found.shape[1]), np.nan, dtype=np.float32)
        logits[rows] = found
        return Teaching(logits, head, teachers.folders, self.images.fellow)


def _outputs(teachers: Teachers, pool: Pool, num_views: NumViews, device: torch.device) -> NDArray[np.float32]:
    """The mean of the teachers' logits on all images; kept for the other students of the same teachers."""
    uri = f"{teachers.outputs}-{num_views}.parquet"
    names = pa.chunked_array([pa.array(pool.row.astype(str))])
    if storage.exists(uri):
        return read_teacher_logits(uri, names)
    networks = [load_model(folder).network.to(device) for folder in teachers.folders]
    found = score_share(lambda image: mean_logits(networks, image, num_views), pool, device=device)
    write_teacher_logits(uri, names, found)
    return found


def _validated(probability: NDArray[np.float64], images: StudyImages) -> AucFigures:
    """What the finished model does on the validation patients."""
    pool = images.validation
    patients = np.array([images.patients[row] for row in pool.row.tolist()], dtype=np.int64)
    return auc_figures(pool.grade >= REFERABLE_GRADE, probability, patients)
