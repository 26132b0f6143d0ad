"""The head that is trained with DINO and thrown away after it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DinoHead(nn.Module):
    """DINO's projection head (arXiv:2104.14294, appendix C): [B, in_dim] to logits [B, num_prototypes].

    Three linear layers with GELU in between, down to a bottleneck of unit length, whose cosines with the prototypes are
    the logits: the weight-normalised last layer of the paper with its lengths fixed at 1. There is no batch
    normalisation in it.
    """

    prototype_rate: Tensor

    def __init__(
        self, in_dim: int, hidden_dim: int, bottleneck_dim: int, num_prototypes: int, *, prototype_rate: float = 1.0
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, bottleneck_dim),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.prototypes = nn.Parameter(torch.empty(num_prototypes, bottleneck_dim))
        nn.init.trunc_normal_(self.prototypes, std=0.02)
        self.register_buffer("prototype_rate", torch.tensor(prototype_rate))
        """What the prototypes' gradient is multiplied by: 0 keeps them as they are, 1 lets them learn.

        Part of the saved state, and on the device: it changes in the middle of a training without waiting for a GPU.
        """

    def forward(self, features: Tensor) -> Tensor:
        """Cosines [B, num_prototypes], not divided by a temperature, of features [B, in_dim]."""
        bottleneck = F.normalize(self.layers(features), dim=1)
        directions = F.normalize(self.prototypes, dim=1)
        if directions.requires_grad:
            directions.register_hook(self.prototype_rate.mul)  # type: ignore[no-untyped-call]
        return F.linear(bottleneck, directions)
