"""SimCLR's step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raydr.engine.batch import Batch
from raydr.engine.step import Outputs, Step, View
from raydr.losses.contrastive import nt_xent


@dataclass(frozen=True, slots=True)
class SimclrStep(Step):
    """SimCLR (arXiv:2002.05709): every view must find its twin among all workers' views."""

    project: nn.Module
    view: View
    gather: Callable[[Tensor], Tensor]
    rank: int
    temperature: float
    decoupled: bool = False

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """Embeddings [B, D] of two views an image."""
        z = self.project(torch.cat([self.view(batch.image, generator), self.view(batch.image, generator)]))
        return tuple(z.chunk(2))

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """NT-Xent over the global batch."""
        count, z = len(batch.row), torch.cat(outputs).float()  # bfloat16 would lose bits in sums over many workers
        own = torch.arange(2 * count, device=z.device)
        offset = self.rank * 2 * count
        return nt_xent(
            z,
            self.gather(z),
            own=own + offset,
            twin=own.roll(count) + offset,
            temperature=self.temperature,
            decoupled=self.decoupled,
        )
