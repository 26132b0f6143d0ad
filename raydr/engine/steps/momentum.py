"""What the methods with a predictor and a slow copy share."""

from dataclasses import dataclass

import torch
from torch import nn

from raydr.engine.batch import Batch
from raydr.engine.shuffle import Embed
from raydr.engine.step import Outputs, Step, View
from raydr.models.momentum import MomentumNetwork
from raydr.schedules import cosine_momentum


@dataclass(frozen=True, slots=True)
class MomentumStep(Step):
    """The online network predicts what its slow copy makes of the other view; the losses are the methods' own."""

    network: MomentumNetwork
    predict: nn.Module
    """The online network, as it is called: wrapped where there are several workers."""
    embed_target: Embed
    view: View
    momentum: float
    """At the run's start."""

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """Predictions for two views and the slow copy's embeddings of both, [B, D] each."""
        views = (self.view(batch.image, generator), self.view(batch.second, generator))
        return (*self.predict(*views), *(self.embed_target(view, generator) for view in views))

    def advance(self, progress: float) -> None:
        """The slow copy follows, ever more slowly."""
        self.network.follow(cosine_momentum(progress, start=self.momentum))
