"""VICReg's step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raydr.engine.batch import Batch
from raydr.engine.step import Outputs, Step, View
from raydr.losses.vicreg import covariance, invariance, variance_hinge


@dataclass(frozen=True, slots=True)
class VicregStep(Step):
    """VICReg (arXiv:2105.04906): variance and covariance of all workers' embeddings keep twins from one point."""

    embed: nn.Module
    view: View
    gather: Callable[[Tensor], Tensor]
    invariance_weight: float
    variance_weight: float
    covariance_weight: float

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """Embeddings [B, D] of two views an image."""
        z = self.embed(torch.cat([self.view(batch.image, generator), self.view(batch.second, generator)]))
        return tuple(z.chunk(2))

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:  # noqa: ARG002
        """Equation 6: the weighted sum over the global batch."""
        loss = self.invariance_weight * invariance(*outputs)
        for z in outputs:
            everybody = self.gather(z.float())
            loss = loss + self.variance_weight * variance_hinge(everybody)
            loss = loss + self.covariance_weight * covariance(everybody)
        return loss
