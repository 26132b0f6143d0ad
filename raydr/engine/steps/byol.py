"""BYOL's step."""

from dataclasses import dataclass

import torch
from torch import nn

from raydr.engine.batch import Batch
from raydr.engine.shuffle import Embed
from raydr.engine.step import Outputs, Step, View
from raydr.losses.regression import direction_loss
from raydr.models.momentum import MomentumNetwork
from raydr.schedules import cosine_momentum


@dataclass(frozen=True, slots=True)
class ByolStep(Step):
    """BYOL (arXiv:2006.07733): the online network predicts what its slow copy makes of the other view."""

    network: MomentumNetwork
    predict: nn.Module
    """The online network, as it is called: wrapped where there are several workers."""
    embed_target: Embed
    view: View
    momentum: float
    """At the run's start."""

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """Predictions for two views and the target's embeddings of both, [B, D] each."""
        views = (self.view(batch.image, generator), self.view(batch.image, generator))
        return (*self.predict(*views), *(self.embed_target(view, generator) for view in views))

    def loss(self, outputs: Outputs, batch: Batch) -> torch.Tensor:  # noqa: ARG002
        """The regression loss in both directions, summed (section 3.1)."""
        first, second, first_target, second_target = outputs
        return direction_loss(first, second_target) + direction_loss(second, first_target)

    def advance(self, progress: float) -> None:
        """The target follows, ever more slowly."""
        self.network.follow(cosine_momentum(progress, start=self.momentum))
