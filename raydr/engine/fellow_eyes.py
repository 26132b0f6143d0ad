"""The patient's other eye as what a second view is made of."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from raydr.engine.batch import Batch
from raydr.engine.sources import BatchSource, Images


@dataclass(frozen=True, slots=True)
class WithFellowEyes:
    """Another source's batches, a second view being of the fellow eye with some probability, where there is one.

    Two eyes of a patient share much of their vessels' pattern, pigment and disease and no pixel: positives as in
    MICLe (arXiv:2101.05224), which takes several images of a patient. The draw is a matter of seed, epoch and step
    alone, over all workers together.
    """

    source: BatchSource
    """Of batches of one size."""
    images: Images
    """Where the fellow eyes are."""
    fellow: NDArray[np.int64]
    """For each row of the manifest the row of the same patient's other eye, or -1."""
    probability: float
    seed: int
    rank: int = 0
    world_size: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """The other source's."""
        return self.source.steps_per_epoch

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The other source's batches with twins."""
        place = np.full(len(self.fellow) + 1, -1)  # the last one, which -1 names, is nowhere
        place[self.images.row] = np.arange(len(self.images))
        for step, batch in enumerate(self.source.epoch(number, start), start):
            fellow_place = place[self.fellow[batch.row.numpy()]]
            size = len(fellow_place)
            draw = np.random.default_rng([self.seed, number, step]).random(size * self.world_size)
            is_drawn = draw[size * self.rank : size * (self.rank + 1)] < self.probability
            chosen = np.flatnonzero(is_drawn & (fellow_place >= 0))
            twin = batch.image.clone()
            twin[torch.from_numpy(chosen)] = self.images.take(fellow_place[chosen]).image
            yield replace(batch, twin=twin)
