"""A Ray Train worker's batches: streamed from its part of a dataset, or drawn from a dataset that is held in memory."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import ray.data
import torch
from numpy.typing import NDArray

from raydr.data.epochs import EpochClock
from raydr.engine.batch import Batch


@dataclass(frozen=True, slots=True)
class StreamedBatches:
    """This worker's part of a dataset that comes in another order every epoch; equally many batches on every worker.

    The dataset's images are dealt out in its order, so an epoch is the same whenever and wherever it is run with the
    same number of workers. Over all workers every image comes at most once an epoch; left out are what does not fill a
    last batch of every worker (fewer than ``world_size * batch_size``) and unreadable photographs.
    """

    iterator: ray.data.DataIterator
    clock: EpochClock
    """The dataset's; rank 0 sets it."""
    num_images: int
    """In the whole dataset."""
    batch_size: int
    """Images a step on this worker."""
    rank: int
    world_size: int

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an equal share."""
        return self.num_images // self.world_size // self.batch_size

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Every image at most once; may be left before its end, by all workers.

        What comes before ``start`` is read and let go: how the images are dealt out is Ray Data's, so only reading
        them again says what they were.
        """
        if self.rank == 0:
            # No order is planned before every worker has asked for its first batch.
            self.clock.set(number)
        # The images are shuffled where they are read; Ray Data's shuffle buffer would copy each once more.
        batches = self.iterator.iter_torch_batches(
            batch_size=self.batch_size, prefetch_batches=1, drop_last=True, device="cpu"
        )
        for columns in itertools.islice(batches, start, None):
            yield Batch(columns["image"], columns["row"], columns["grade"])


@dataclass(frozen=True, slots=True)
class HeldImages:
    """All images of a cached dataset, left where they are: in the object store of this node, for all its workers."""

    image: list[NDArray[np.uint8]]
    """Blocks [n, 3, S, S]."""
    row: NDArray[np.int64]
    """Of all blocks one after another."""
    grade: NDArray[np.int64]
    starts: NDArray[np.int64]
    """Place of each block's first image."""

    def __len__(self) -> int:
        """The number of images."""
        return len(self.row)

    def take(self, places: NDArray[np.integer]) -> Batch:
        """A copy of the images at some places as a batch."""
        images = np.empty((len(places), *self.image[0].shape[1:]), dtype=np.uint8)
        blocks = np.searchsorted(self.starts, places, side="right") - 1
        for number, (block, place) in enumerate(zip(blocks, places - self.starts[blocks], strict=True)):
            images[number] = self.image[block][place]
        return Batch(torch.from_numpy(images), torch.from_numpy(self.row[places]), torch.from_numpy(self.grade[places]))


def hold_images(dataset: ray.data.Dataset | ray.data.DataIterator) -> HeldImages:
    """The images of a materialized dataset, which has some, in its order."""
    batches = dataset.iter_batches(batch_size=None, batch_format="numpy")  # type: ignore[arg-type]
    blocks = [block for block in batches if len(block["row"])]
    sizes = [len(block["row"]) for block in blocks]
    return HeldImages(
        [block["image"] for block in blocks],
        np.concatenate([block["row"] for block in blocks]),
        np.concatenate([block["grade"] for block in blocks]),
        np.cumsum([0, *sizes[:-1]]),
    )


def use_threads(num_threads: int | None) -> None:
    """Let torch use this many CPU threads in this process; None leaves its own choice."""
    if num_threads is not None:
        torch.set_num_threads(num_threads)
