"""What runs in every Ray Train worker: its share of the data and its context into a learning loop."""

import contextlib
import dataclasses
from typing import Any, Literal

import numpy as np
import ray.train
from pydantic import TypeAdapter

from raydr.config.stages import DistillStage, FinetuneStage, PretrainStage
from raydr.data.epochs import EpochClock
from raydr.data.streams import collect_pool
from raydr.engine.batch import empty_pool
from raydr.engine.fellow_eyes import WithFellowEyes
from raydr.engine.fit import StoppedError
from raydr.engine.sources import BatchSource, Images, ShuffledPool, local_batch_size
from raydr.learning.assignment import Assignment
from raydr.learning.distil import DistilImages, distil
from raydr.learning.finetune import FinetuneImages, finetune
from raydr.learning.pretrain import PretrainImages, pretrain
from raydr.training.board import Board
from raydr.training.context import RayContext
from raydr.training.streams import StreamedBatches, hold_images, use_threads
from raydr.training.teacher import Teacher

STREAM, LABELLED, VALIDATION = "stream", "labelled", "validation"
"""Names of the datasets: a stream with a clock is split over the workers, all else comes to each of them whole."""


Loop = Literal["pretrain", "finetune", "distil"]


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """A worker's orders as plain values, so that they can cross to another process as JSON."""

    loop: Loop
    settings: dict[str, Any]
    assignment: Assignment
    num_streamed: int
    """Images in the stream, over all workers; 0 where there is no stream."""
    clock: str | None = None
    """Name of the clock that the stream follows; None where it is held in memory."""
    whole: tuple[str, ...] = ()
    """Which of the other datasets there are."""
    threads: int | None = None
    fellows: list[int] | None = None
    """For each row of the manifest that of the same patient's other eye, or -1; None where nobody asks for them."""
    teacher: Teacher | None = None
    board: str | None = None
    """Name of the board that the driver looks at; `train` puts it in."""

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return dataclasses.asdict(self)


def work(orders: dict[str, Any]) -> None:
    """The loop of one Ray Train worker; returns also when it was told to stop, so that Ray waits for the last state."""
    order = TypeAdapter(Work).validate_python(orders)
    use_threads(order.threads)
    context = RayContext(None if order.board is None else Board(order.board))
    with contextlib.suppress(StoppedError):
        _learn(order, context)


def _learn(order: Work, context: RayContext) -> None:
    assignment = order.assignment
    side_px = assignment.preprocess.side_px
    labelled, validation = (
        collect_pool(ray.train.get_dataset_shard(name), side_px=side_px) if name in order.whole else empty_pool(side_px)
        for name in (LABELLED, VALIDATION)
    )

    def streamed(batch_size: int, *, fellow_probability: float = 0.0) -> BatchSource:
        stream = ray.train.get_dataset_shard(STREAM)
        if order.clock is None:
            held = hold_images(stream)
            source = _shuffled(held, batch_size, assignment.seed, context)
            if order.fellows is None:
                return source
            return WithFellowEyes(
                source,
                held,
                np.array(order.fellows),
                fellow_probability,
                assignment.seed,
                rank=context.rank,
                world_size=context.world_size,
            )
        return StreamedBatches(
            stream,
            EpochClock(order.clock),
            num_images=order.num_streamed,
            batch_size=local_batch_size(order.num_streamed, batch_size, context.world_size),
            rank=context.rank,
            world_size=context.world_size,
        )

    match order.loop:
        case "pretrain":
            stage = PretrainStage.model_validate(order.settings)
            source = streamed(stage.optim.batch_size, fellow_probability=stage.fellow_eye_probability)
            pretrain(stage, PretrainImages(source, labelled, validation), assignment, context)
        case "finetune":
            tuned = FinetuneStage.model_validate(order.settings)
            pool_source = _shuffled(labelled, tuned.optim.batch_size, assignment.seed, context)
            finetune(tuned, FinetuneImages(pool_source, labelled, validation), assignment, context)
        case "distil":
            taught = DistillStage.model_validate(order.settings)
            if order.teacher is None:
                raise ValueError("distillation needs a teacher")
            images = DistilImages(streamed(taught.optim.batch_size), labelled, validation)
            teaching = order.teacher.teaching(with_fellows=taught.distillation.fellow_eye_share > 0)
            distil(taught, images, teaching, assignment, context)


def _shuffled(images: Images, batch_size: int, seed: int, context: RayContext) -> ShuffledPool:
    """What every worker can reach whole, each draws its part of in one global order."""
    size = local_batch_size(len(images), batch_size, context.world_size)
    return ShuffledPool(images, size, seed=seed, rank=context.rank, world_size=context.world_size)
