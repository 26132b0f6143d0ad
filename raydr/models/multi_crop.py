"""One network on pictures of several sizes in one forward pass."""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from raydr.models.embedding import EmbeddingNetwork


class MultiCrop(nn.Module):
    """Runs a network on crops of several sizes (arXiv:2006.09882, section 3.2), so that DDP sees one forward pass.

    The backbone runs once a size, the head once in all.
    """

    def __init__(self, network: EmbeddingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Sequence[Tensor]) -> Tensor:
        """Embeddings [B, number of crops, D] of crops [B, 3, S, S] each; those of one size must follow one another."""
        features = [
            self.network.backbone(torch.cat(list(of_one_size)))
            for _, of_one_size in groupby(crops, key=lambda crop: crop.shape[-1])
        ]
        embeddings: Tensor = self.network.projector(torch.cat(features))
        return embeddings.view(len(crops), len(crops[0]), -1).transpose(0, 1)
