"""Where an epoch's batches come from."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from raydr.engine.batch import Batch, Pool


class BatchSource(Protocol):
    """An epoch's worth of this worker's training batches, equally many on every worker."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches an epoch."""

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch ``number`` from batch ``start`` on; the same for the same numbers."""


class Images(Protocol):
    """Images that can be taken in any order."""

    @property
    def row(self) -> NDArray[np.int64]:
        """The row of each in the manifest."""

    def __len__(self) -> int:
        """How many."""

    def take(self, places: NDArray[np.integer]) -> Batch:
        """Those at some places as a batch."""


def local_batch_size(num_images: int, batch_size: int, world_size: int) -> int:
    """One worker's images a step: its part of the global batch, less where there are not that many images.

    Raises:
        ValueError: Fewer than two images a worker: batch statistics need two.
    """
    size = min(batch_size // world_size, num_images // world_size)
    if size < 2:
        raise ValueError(
            f"{num_images} images in batches of {batch_size} leave fewer than 2 a step for each of {world_size} workers"
        )
    return size


@dataclass(frozen=True, slots=True)
class ShuffledPool:
    """Batches from images in memory, shuffled by seed and epoch alone; a last part batch is left out."""

    pool: Images
    batch_size: int
    """Images a step on this worker."""
    seed: int
    rank: int = 0
    world_size: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches that every worker has."""
        return len(self.pool) // (self.batch_size * self.world_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Every image at most once."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.pool))
        for step in range(start, self.steps_per_epoch):
            place = (step * self.world_size + self.rank) * self.batch_size
            yield self.pool.take(order[place : place + self.batch_size])


@dataclass(frozen=True, slots=True)
class WithLabelled:
    """Another source's batches, each joined by a few labelled images: with few labels most batches would have none."""

    source: BatchSource
    labelled: Pool
    num_labelled: int
    """Labelled images a step on this worker."""
    seed: int
    rank: int = 0

    @property
    def steps_per_epoch(self) -> int:
        """The other source's."""
        return self.source.steps_per_epoch

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The other source's batches with labelled images drawn in turn from endless permutations."""
        turns = itertools.islice(self._turns(number), start, None)
        for batch, places in zip(self.source.epoch(number, start), turns, strict=False):
            yield batch.joined(self.labelled.take(places))

    def _turns(self, number: int) -> Iterator[NDArray[np.int64]]:
        # Zeros at a seed's end are of no account: by its rank alone, worker 0 would draw in the other source's order.
        draw = np.random.default_rng([self.seed, number, 1 + self.rank])
        waiting = np.empty(0, dtype=np.int64)
        while True:
            while len(waiting) < self.num_labelled:
                waiting = np.concatenate([waiting, draw.permutation(len(self.labelled))])
            yield waiting[: self.num_labelled]
            waiting = waiting[self.num_labelled :]
