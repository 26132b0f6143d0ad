"""A backbone under a head that pretraining needs and throws away."""

from torch import Tensor, nn

from raydr.models.backbone import Backbone


class EmbeddingNetwork(nn.Module):
    """Images in [0, 1] to the embeddings that a self-supervised loss compares."""

    def __init__(self, backbone: Backbone, projector: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector

    def forward(self, image: Tensor) -> Tensor:
        """Embeddings [B, D] of images [B, 3, S, S]."""
        embedding: Tensor = self.projector(self.backbone(image))
        return embedding
