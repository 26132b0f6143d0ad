"""A network, its slowly following copy and what that copy made of the last images."""

import torch
from torch import Tensor, nn

from raydr.models.embedding import EmbeddingNetwork
from raydr.models.momentum import MomentumNetwork


class MemoryNetwork(MomentumNetwork):
    """The online network, without a predictor, and a memory of its target's outputs (arXiv:1911.05722, section 3.2).

    The memory is a buffer: on the device, in the saved state, and the same on all workers if they remember the same. It
    starts with random directions, as the authors' does.
    """

    keys: Tensor
    """[memory_size, D], the oldest key first."""

    def __init__(self, embedding: EmbeddingNetwork, *, memory_size: int, width: int) -> None:
        super().__init__(embedding, nn.Identity())
        self.register_buffer("keys", nn.functional.normalize(torch.randn(memory_size, width), dim=1))

    @torch.no_grad()
    def remember(self, newest: Tensor) -> None:
        """Put in keys [N, D], the last one the newest; the oldest go."""
        self.keys.copy_(torch.cat([self.keys, newest.to(self.keys)])[-len(self.keys) :])
