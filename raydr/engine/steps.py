"""Training steps: batch in, loss out. A step owns its collaborators and knows no settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from raydr.engine.batch import Batch
from raydr.losses.classification import label_loss
from raydr.losses.contrastive import nt_xent
from raydr.losses.distillation import hard_target_loss, soft_target_loss

View = Callable[[Tensor, torch.Generator], Tensor]
"""A random view: uint8 [B, 3, S, S] and a generator in, float [B, 3, S, S] in [0, 1] out."""


class Step(Protocol):
    """One batch's loss, on this worker's part of it; all randomness comes from the generator."""

    def __call__(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The loss to be averaged over workers."""


@dataclass(frozen=True, slots=True)
class SimclrStep:
    """SimCLR (arXiv:2002.05709): every view must find its twin among all workers' views."""

    project: nn.Module
    view: View
    gather: Callable[[Tensor], Tensor]
    rank: int
    temperature: float

    def __call__(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """NT-Xent over the global batch of two views an image."""
        count = len(batch.image)
        z = self.project(torch.cat([self.view(batch.image, generator), self.view(batch.image, generator)]))
        own = torch.arange(2 * count, device=z.device)
        offset = self.rank * 2 * count
        return nt_xent(z, self.gather(z), own=own + offset, twin=own.roll(count) + offset, temperature=self.temperature)


@dataclass(frozen=True, slots=True)
class ClassifyStep:
    """Supervised learning on labelled images."""

    network: nn.Module
    view: View
    class_weights: Tensor | None

    def __call__(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The label loss of one random view an image."""
        return label_loss(self.network(self.view(batch.image, generator)), batch.grade, weights=self.class_weights)


@dataclass(frozen=True, slots=True)
class DistilStep:
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

    def __call__(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The weighted sum of the softened, the thresholded and the true targets' losses."""
        logits = self.network(self.view(batch.image, generator))
        targets = self.teacher_logits[batch.row]
        is_taught = ~targets.isnan().any(dim=1)
        student, teacher = logits[is_taught], targets[is_taught]
        loss = self.label_weight * label_loss(logits, batch.grade, weights=self.class_weights)
        if len(student) and self.soft_weight:
            loss = loss + self.soft_weight * soft_target_loss(student, teacher, temperature=self.temperature)
        if len(student) and self.hard_weight:
            loss = loss + self.hard_weight * hard_target_loss(student, teacher)
        return loss
