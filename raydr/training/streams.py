"""A Ray Train worker's batches from its shard of a dataset."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import ray.data
import torch

from raydr.engine.batch import Batch

_SHUFFLE_BYTES: Final = 256 * 2**20  # decoded images that wait to be drawn from, on every worker


@dataclass(frozen=True, slots=True)
class StreamedBatches:
    """This worker's part of a dataset, a new local shuffle every epoch; equally many batches on every worker."""

    iterator: ray.data.DataIterator
    num_images: int
    """In the whole dataset."""
    side_px: int
    batch_size: int
    """Images a step on this worker."""
    world_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an equal share; what is left over of the dataset is dropped this epoch."""
        return self.num_images // self.world_size // self.batch_size

    def epoch(self, number: int) -> Iterator[Batch]:
        """Every image at most once."""
        share = max(self.batch_size, self.num_images // self.world_size)
        buffer = max(2 * self.batch_size, min(share, _SHUFFLE_BYTES // (3 * self.side_px**2)))
        batches = self.iterator.iter_torch_batches(
            batch_size=self.batch_size,
            prefetch_batches=2,
            drop_last=True,
            local_shuffle_buffer_size=min(buffer, share),
            local_shuffle_seed=self.seed + number,
            device="cpu",
        )
        for columns in batches:
            yield Batch(columns["image"], columns["row"], columns["grade"])


def use_threads(num_threads: int | None) -> None:
    """Let torch use this many CPU threads in this process; None leaves its own choice."""
    if num_threads is not None:
        torch.set_num_threads(num_threads)
