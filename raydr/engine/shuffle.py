"""A momentum network's pass over its views: as they lie, or exchanged between the workers."""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from raydr.engine.collectives import differentiable_gather
from raydr.images.transfer import sent

Embed = Callable[[Tensor, torch.Generator], Tensor]
"""Views [B, 3, S, S] and a generator to their embeddings [B, D], without a gradient."""


def unshuffled(network: nn.Module) -> Embed:
    """Embeds every view where it lies."""

    @torch.no_grad()
    def embed(view: Tensor, _generator: torch.Generator) -> Tensor:
        embeddings: Tensor = network(view)
        return embeddings

    return embed


def shuffled(network: nn.Module, *, rank: int, world_size: int) -> Embed:
    """Embeds views that are dealt out anew to all workers, and brings the embeddings back (arXiv:1911.05722, sec. 3.3).

    A query's worker then shares its batch statistics with other images than its key's, which takes away the hint that
    statistics give of which key is the right one. One permutation is drawn a pass: every worker draws from its own
    generator, so that all stand where they would, and rank 0's draw is everybody's. Every worker must hold equally many
    views. As in the authors' code each worker receives the views of all for a moment. With one worker nothing changes.
    """
    if world_size == 1:
        return unshuffled(network)
    gather = differentiable_gather(world_size)

    @torch.no_grad()
    def embed(view: Tensor, generator: torch.Generator) -> Tensor:
        own = slice(rank * len(view), (rank + 1) * len(view))
        order = torch.randperm(world_size * len(view), generator=generator, device=generator.device)
        order = sent(order, view.device)
        dist.broadcast(order, src=0)
        embeddings: Tensor = network(gather(view)[order[own]])
        return gather(embeddings)[order.argsort()[own]]

    return embed
