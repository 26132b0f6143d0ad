"""What a training step gets, and a set of images held in memory."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class Batch:
    """Images uint8 [B, 3, S, S], their rows in the manifest int64 [B], their grades int64 [B] (-1: unlabelled)."""

    image: Tensor
    row: Tensor
    grade: Tensor
    twin: Tensor | None = None
    """Of what a second view is made, uint8 [B, 3, S, S], where that is not the image itself."""

    @property
    def second(self) -> Tensor:
        """Of what a second view is made."""
        return self.image if self.twin is None else self.twin

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """A copy in page-locked memory, which a GPU copies from on its own."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        twin = None if self.twin is None else change(self.twin)
        return Batch(change(self.image), change(self.row), change(self.grade), twin)

    def pieces(self, num_images: int) -> Iterator["Batch"]:
        """Consecutive parts of at most so many images, as even as can be: batch statistics need more than one."""
        count = -(-len(self.row) // num_images)
        tensors = (self.image, self.row, self.grade, *([] if self.twin is None else [self.twin]))
        parts = (tensor.tensor_split(count) for tensor in tensors)
        yield from itertools.starmap(Batch, zip(*parts, strict=True))

    def joined(self, other: "Batch") -> "Batch":
        """Both batches as one, this one's images first."""
        has_twins = self.twin is not None or other.twin is not None
        return Batch(
            torch.cat([self.image, other.image]),
            torch.cat([self.row, other.row]),
            torch.cat([self.grade, other.grade]),
            torch.cat([self.second, other.second]) if has_twins else None,
        )


@dataclass(frozen=True, slots=True)
class Pool:
    """Images in memory: uint8 [N, 3, S, S], rows int64 [N], grades int64 [N]; often a view of shared memory."""

    image: NDArray[np.uint8]
    row: NDArray[np.int64]
    grade: NDArray[np.int64]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.row)

    def take(self, places: NDArray[np.integer]) -> Batch:
        """A copy of the images at some places as a batch."""
        return Batch(
            torch.from_numpy(np.ascontiguousarray(self.image[places])),
            torch.from_numpy(self.row[places]),
            torch.from_numpy(self.grade[places]),
        )

    def share(self, rank: int, world_size: int) -> "Pool":
        """Every ``world_size``-th image from ``rank`` on: the workers' shares are disjoint and lose none."""
        return Pool(self.image[rank::world_size], self.row[rank::world_size], self.grade[rank::world_size])

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All images in their order, the last batch as small as it comes."""
        for start in range(0, len(self), batch_size):
            yield self.take(np.arange(start, min(start + batch_size, len(self))))


def empty_pool(side_px: int) -> Pool:
    """A pool of no images."""
    return Pool(np.empty((0, 3, side_px, side_px), np.uint8), np.empty(0, np.int64), np.empty(0, np.int64))
