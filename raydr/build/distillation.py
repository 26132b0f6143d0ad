"""Settings into the student's step."""

import torch
from torch import nn

from raydr.config.learning import DistillationSettings
from raydr.engine.step import View
from raydr.engine.steps.distil import DistilStep


def build_distil_step(
    settings: DistillationSettings,
    network: nn.Module,
    view: View,
    *,
    teacher_logits: torch.Tensor,
    class_weights: torch.Tensor | None,
) -> DistilStep:
    """The student's step with the settings' temperature and weights."""
    return DistilStep(
        network=network,
        view=view,
        teacher_logits=teacher_logits,
        temperature=settings.temperature,
        soft_weight=settings.soft_weight,
        hard_weight=settings.hard_weight,
        label_weight=settings.label_weight,
        class_weights=class_weights,
    )
