"""MoCo v3's step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raydr.engine.batch import Batch
from raydr.engine.shuffle import Embed
from raydr.engine.step import Outputs, Step, View
from raydr.losses.momentum_contrast import momentum_contrast
from raydr.models.momentum import MomentumNetwork
from raydr.schedules import cosine_momentum


@dataclass(frozen=True, slots=True)
class MocoV3Step(Step):
    """MoCo v3 (arXiv:2104.02057): each view finds the other's key, of a slow copy, among all workers' keys."""

    network: MomentumNetwork
    predict: nn.Module
    """The online network, as it is called: wrapped where there are several workers."""
    embed_target: Embed
    view: View
    gather: Callable[[Tensor], Tensor]
    rank: int
    temperature: float
    momentum: float
    """At the run's start."""

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """Queries of two views and the momentum network's keys of both, [B, D] each."""
        views = (self.view(batch.image, generator), self.view(batch.image, generator))
        return (*self.predict(*views), *(self.embed_target(view, generator) for view in views))

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The contrastive loss over the global batch in both directions, summed (algorithm 1)."""
        first, second, first_key, second_key = outputs
        twin = torch.arange(len(batch.row), device=first.device) + self.rank * len(batch.row)
        return self._contrast(first, second_key, twin) + self._contrast(second, first_key, twin)

    def advance(self, progress: float) -> None:
        """The momentum network follows, ever more slowly."""
        self.network.follow(cosine_momentum(progress, start=self.momentum))

    def _contrast(self, queries: Tensor, keys: Tensor, twin: Tensor) -> Tensor:
        return momentum_contrast(queries, self.gather(keys.detach()), twin=twin, temperature=self.temperature)
