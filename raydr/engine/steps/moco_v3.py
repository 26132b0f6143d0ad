"""MoCo v3's step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from raydr.engine.batch import Batch
from raydr.engine.step import Outputs
from raydr.engine.steps.momentum import MomentumStep
from raydr.losses.momentum_contrast import momentum_contrast


@dataclass(frozen=True, slots=True)
class MocoV3Step(MomentumStep):
    """MoCo v3 (arXiv:2104.02057): each view finds the other's key, of a slow copy, among all workers' keys."""

    gather: Callable[[Tensor], Tensor]
    rank: int
    temperature: float

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The contrastive loss over the global batch in both directions, summed (algorithm 1)."""
        first, second, first_key, second_key = outputs
        twin = torch.arange(len(batch.row), device=first.device) + self.rank * len(batch.row)
        return self._contrast(first, second_key, twin) + self._contrast(second, first_key, twin)

    def _contrast(self, queries: Tensor, keys: Tensor, twin: Tensor) -> Tensor:
        return momentum_contrast(queries, self.gather(keys.detach()), twin=twin, temperature=self.temperature)
