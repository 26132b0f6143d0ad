"""The student's step."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raydr.engine.batch import Batch
from raydr.engine.step import Outputs, Step, View
from raydr.losses.classification import label_loss
from raydr.losses.distillation import hard_target_loss, soft_target_loss


@dataclass(frozen=True, slots=True)
class DistilStep(Step):
    """A student learning from cached teacher outputs on all images and from labels where there are any."""

    network: nn.Module
    view: View
    teacher_logits: Tensor
    """[rows of the manifest, outputs]; NaN where the teacher could not read an image."""
    temperature: float
    soft_weight: float
    hard_weight: float
    label_weight: float
    class_weights: Tensor | None

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """Logits of one random view an image."""
        return (self.network(self.view(batch.image, generator)),)

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The weighted sum of the softened, the thresholded and the true targets' losses."""
        (logits,) = outputs
        targets = self.teacher_logits[batch.row]
        is_taught = ~targets.isnan().any(dim=1)
        student, teacher = logits[is_taught], targets[is_taught]
        loss = self.label_weight * label_loss(logits, batch.grade, weights=self.class_weights)
        if len(student) and self.soft_weight:
            loss = loss + self.soft_weight * soft_target_loss(student, teacher, temperature=self.temperature)
        if len(student) and self.hard_weight:
            loss = loss + self.hard_weight * hard_target_loss(student, teacher)
        return loss
