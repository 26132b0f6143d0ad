"""A backbone under a projection head."""

from torch import Tensor, nn

from raydr.models.backbone import Backbone
from raydr.models.projector import Projector


class ContrastiveNetwork(nn.Module):
    """Images in [0, 1] to the embeddings that a contrastive loss compares; the projector is thrown away afterwards."""

    def __init__(self, backbone: Backbone, projector: Projector) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector

    def forward(self, image: Tensor) -> Tensor:
        """Embeddings [B, D] of images [B, 3, S, S]."""
        embedding: Tensor = self.projector(self.backbone(image))
        return embedding
