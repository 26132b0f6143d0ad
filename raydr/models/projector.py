"""The head that is trained with SimCLR and thrown away after it."""

from raydr.models.heads import PerceptronHead


class Projector(PerceptronHead):
    """SimCLR's projection head g (arXiv:2002.05709, section 2.1): [B, in_dim] to [B, out_dim].

    Two layers, or three as in SimCLR v2 (arXiv:2006.10029, section 2). As in the authors' code each linear layer has no
    bias and is batch-normalised, ReLU in between. The last normalisation has no offset either: one offset for all
    images only moves every cosine towards 1.
    """

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int, *, num_layers: int = 2) -> None:
        super().__init__(in_dim, hidden_dim, out_dim, num_layers=num_layers, last_norm="scaled")
