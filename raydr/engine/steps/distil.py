"""The student's step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raydr.engine.batch import Batch
from raydr.engine.step import Outputs, Step, View
from raydr.losses.classification import label_loss
from raydr.losses.consistency import consistency_loss

TargetLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Mean loss of student logits [M, K] against teacher logits [M, K] on images of grade [M] (-1: unknown)."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What the teacher said of every image, once for all."""

    logits: Tensor
    """[rows of the manifest, outputs]; NaN where there is nothing to learn from the teacher."""
    share: float
    """Of the training images that have some, in (0, 1]."""


@dataclass(frozen=True, slots=True)
class Consistency:
    """Calls made on one view are asked for on another."""

    view: View
    weight: float
    threshold: float


@dataclass(frozen=True, slots=True)
class DistilStep(Step):
    """A student learning from cached teacher outputs on all images and from labels where there are any."""

    network: nn.Module
    view: View
    targets: Targets
    terms: tuple[tuple[float, TargetLoss], ...]
    """Losses against the targets and their weights."""
    label_weight: float
    class_weights: Tensor | None
    consistency: Consistency | None = None

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """Logits of one random view an image, or of two."""
        view = self.view(batch.image, generator)
        if self.consistency is None:
            return (self.network(view),)
        return tuple(self.network(torch.cat([view, self.consistency.view(batch.image, generator)])).chunk(2))

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The weighted sum of the terms, of the labels' loss and of the views' consistency."""
        logits, targets = outputs[0], self.targets.logits[batch.row]
        loss = self.label_weight * label_loss(logits, batch.grade, weights=self.class_weights)
        is_taught = ~targets.isnan().any(dim=1)
        student, teacher, grade = logits[is_taught], targets[is_taught], batch.grade[is_taught]
        if len(student):
            # Divided by all rows, not by those taught, so that the mean over workers is the whole batch's loss; by the
            # share, so that a gate does not turn the weights down.
            scale = len(student) / (len(logits) * self.targets.share)
            for weight, term in self.terms:
                loss = loss + weight * scale * term(student, teacher, grade)
        if self.consistency is not None:
            consistency = consistency_loss(outputs[1], logits, threshold=self.consistency.threshold)
            loss = loss + self.consistency.weight * consistency
        return loss
