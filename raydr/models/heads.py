"""Perceptrons as self-supervised methods put them on their features: projectors and predictors."""

from typing import Literal

from torch import Tensor, nn

LastNorm = Literal["none", "scaled", "plain"]
"""After the last linear layer: nothing, batch normalisation with a learned scale, or with neither scale nor offset."""


class PerceptronHead(nn.Module):
    """Linear layers without biases, each but the last with batch normalisation and ReLU: [B, in_dim] to [B, out_dim].

    BYOL (arXiv:2006.07733, section 3.3): projector and predictor have 2 layers and ``last_norm="none"``. MoCo v3
    (arXiv:2104.02057, section 4, and its authors' code): the projector has 2 layers on a ResNet and 3 on a vision
    transformer, and ``"plain"``; the predictor has 2, ``"none"`` on a ResNet and ``"plain"`` on a vision transformer.
    SimCLR (arXiv:2002.05709): 2 layers and ``"scaled"``; one offset for all images would only move every cosine towards
    1. BYOL's authors give hidden layers a bias, which batch normalisation takes away again: left out here.

    Raises:
        ValueError: fewer than 2 layers.
    """

    def __init__(
        self, in_dim: int, hidden_dim: int, out_dim: int, *, num_layers: int = 2, last_norm: LastNorm = "none"
    ) -> None:
        super().__init__()
        if num_layers < 2:
            raise ValueError(f"num_layers {num_layers} must be at least 2: one layer has no hidden width")
        layers: list[nn.Module] = []
        for width in [in_dim, *[hidden_dim] * (num_layers - 2)]:
            layers += [nn.Linear(width, hidden_dim, bias=False), nn.BatchNorm1d(hidden_dim), nn.ReLU(inplace=True)]
        layers.append(nn.Linear(hidden_dim, out_dim, bias=False))
        match last_norm:
            case "none":
                pass
            case "scaled":
                norm = nn.BatchNorm1d(out_dim)
                norm.bias.requires_grad = False  # stays at its initial 0
                layers.append(norm)
            case "plain":
                layers.append(nn.BatchNorm1d(out_dim, affine=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """Embeddings [B, out_dim] of features [B, in_dim], not of unit length."""
        embeddings: Tensor = self.layers(features)
        return embeddings
