"""SimCLR's step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raydr.engine.batch import Batch
from raydr.engine.step import Outputs, Step, View
from raydr.losses.contrastive import nt_xent
from raydr.models.memory_network import MemoryNetwork


@dataclass(frozen=True, slots=True)
class SimclrStep(Step):
    """SimCLR (arXiv:2002.05709): every view must find its twin among all workers' views.

    With a memory (SimCLR v2, arXiv:2006.10029, section 2) also apart from what a slow copy made of earlier images.
    """

    project: nn.Module
    view: View
    gather: Callable[[Tensor], Tensor]
    rank: int
    temperature: float
    decoupled: bool = False
    memory: MemoryNetwork | None = None
    memory_momentum: float = 0.999
    """Of the slow copy, all the time."""

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """Embeddings [B, D] of two views an image; with a memory the slow copy's of both as well."""
        views = torch.cat([self.view(batch.image, generator), self.view(batch.second, generator)])
        found = tuple(self.project(views).chunk(2))
        if self.memory is None:
            return found
        with torch.no_grad():
            return (*found, *self.memory.target(views).chunk(2))

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """NT-Xent over the global batch and the memory as it was; then that takes in the batch's keys, once."""
        count, z = len(batch.row), torch.cat(outputs[:2]).float()  # bfloat16 would lose bits in sums over many workers
        own = torch.arange(2 * count, device=z.device)
        offset = self.rank * 2 * count
        keys = self.gather(z)
        if self.memory is not None:
            keys = torch.cat([keys, self.memory.keys])
            for of_a_view in outputs[2:]:
                self.memory.remember(self.gather(of_a_view.detach().float()))
        return nt_xent(
            z,
            keys,
            own=own + offset,
            twin=own.roll(count) + offset,
            temperature=self.temperature,
            decoupled=self.decoupled,
        )

    def advance(self, progress: float) -> None:  # noqa: ARG002
        """The slow copy follows, if there is one."""
        if self.memory is not None:
            self.memory.follow(self.memory_momentum)
