"""DINO's student and teacher, and what makes targets of the teacher's logits."""

import torch
from torch import Tensor, nn

from raydr.models.backbone import Backbone
from raydr.models.dino_head import DinoHead
from raydr.models.embedding import EmbeddingNetwork
from raydr.models.momentum import MomentumNetwork


class DinoNetwork(MomentumNetwork):
    """All of DINO that a saved state holds (arXiv:2104.14294): student, teacher, centre, temperature.

    The student is the online network, without a predictor, and the teacher its target. The buffers are on the device
    and hold what the next step needs, so that a resumed training goes on with it and no GPU is waited for.
    """

    centre: Tensor
    teacher_temperature: Tensor

    def __init__(self, backbone: Backbone, head: DinoHead, *, teacher_temperature: float) -> None:
        super().__init__(EmbeddingNetwork(backbone, head), nn.Identity())
        self.register_buffer("centre", torch.zeros(len(head.prototypes)))
        self.register_buffer("teacher_temperature", torch.tensor(teacher_temperature))

    def let_prototypes_learn(self, *, is_on: bool) -> None:
        """From the next step on the student's prototypes learn, or stay as they are."""
        head = self.online.embedding.projector
        assert isinstance(head, DinoHead)  # noqa: S101
        head.prototype_rate.fill_(float(is_on))
