"""The head that is trained with SimCLR and thrown away after it."""

from torch import Tensor, nn


class Projector(nn.Module):
    """SimCLR's two-layer projection head g (arXiv:2002.05709, section 2.1): [B, in_dim] to [B, out_dim].

    As in the authors' code each linear layer has no bias and is batch-normalised, ReLU in between. The last
    normalisation has no offset either: one offset for all images only moves every cosine towards 1.
    """

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        last_norm = nn.BatchNorm1d(out_dim)
        last_norm.bias.requires_grad = False  # stays at its initial 0
        self.layers = nn.Sequential(
            nn.Linear(in_dim, hidden_dim, bias=False),
            nn.BatchNorm1d(hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dim, out_dim, bias=False),
            last_norm,
        )

    def forward(self, features: Tensor) -> Tensor:
        """Embeddings [B, out_dim] of features [B, in_dim], not of unit length."""
        embeddings: Tensor = self.layers(features)
        return embeddings
