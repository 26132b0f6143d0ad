"""The student's step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raydr.engine.batch import Batch
from raydr.engine.step import Outputs, Step, View
from raydr.losses.classification import label_loss
from raydr.losses.consistency import consistency_loss
from raydr.losses.feature import feature_loss

TargetLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Mean loss of student logits [M, K] against teacher logits [M, K] on images of grade [M] (-1: unknown)."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What the teacher said of every image, once for all, as the student is to believe it."""

    logits: Tensor
    """[rows of the manifest, outputs]; NaN where there is nothing to learn from the teacher."""
    share: float
    """Of the training images that have some, in (0, 1]."""
    shift: Tensor
    """[outputs], what has been added to the teacher's own logits."""


@dataclass(frozen=True, slots=True)
class Consistency:
    """Calls made on one view are asked for on another."""

    view: View
    weight: float
    threshold: float


@dataclass(frozen=True, slots=True)
class DistilStep(Step):
    """A student learning from a teacher's outputs on all images and from labels where there are any."""

    network: nn.Module
    """The student, as it is called; a tuple of logits and, with ``feature_weight``, features comes back."""
    view: View
    targets: Targets | None
    """None where all is asked of ``teacher``; beside it they say which images it teaches."""
    terms: tuple[tuple[float, TargetLoss], ...]
    """Losses against the targets and their weights."""
    label_weight: float
    class_weights: Tensor | None
    consistency: Consistency | None = None
    teacher: nn.Module | None = None
    """Asked for logits and features of the very view that the student sees; None: the targets are its answers."""
    feature_weight: float = 0.0
    """Of the loss between the student's features and the teacher's, on every image; wants a ``teacher``."""

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """Logits of one random view an image, or of two; then the teacher's logits; then both networks' features."""
        view = self.view(batch.image, generator)
        views = view
        if self.consistency is not None:
            views = torch.cat([view, self.consistency.view(batch.image, generator)])
        logits, *features = self.network(views)
        found: Outputs = logits.split(len(view))
        if self.teacher is None:
            return found
        teacher_logits, teacher_features = self.teacher(view)
        if not self.feature_weight:
            return (*found, teacher_logits)
        return (*found, teacher_logits, features[0][: len(view)], teacher_features)

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The weighted sum of the terms, of the labels' loss, of the views' consistency and of the features' loss."""
        logits, targets = outputs[0], self._targets(outputs, batch)
        loss = self.label_weight * label_loss(logits, batch.grade, weights=self.class_weights)
        is_taught = ~targets.isnan().any(dim=1)
        student, teacher, grade = logits[is_taught], targets[is_taught], batch.grade[is_taught]
        if len(student):
            # Divided by all rows, not by those taught, so that the mean over workers is the whole batch's loss; by the
            # share, so that a gate does not turn the weights down.
            share = 1.0 if self.targets is None else self.targets.share
            scale = len(student) / (len(logits) * share)
            for weight, term in self.terms:
                loss = loss + weight * scale * term(student, teacher, grade)
        if self.consistency is not None:
            consistency = consistency_loss(outputs[1], logits, threshold=self.consistency.threshold)
            loss = loss + self.consistency.weight * consistency
        if self.feature_weight:
            loss = loss + self.feature_weight * feature_loss(*outputs[-2:])
        return loss

    def _targets(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The teacher's logits [B, outputs] as the student is to believe them; NaN where there is nothing to learn."""
        if self.teacher is None:
            if self.targets is None:
                raise ValueError("neither targets nor a teacher to ask")
            return self.targets.logits[batch.row]
        said = outputs[1 if self.consistency is None else 2]
        if self.targets is None:
            return said
        is_taught = ~self.targets.logits[batch.row].isnan()
        return (said + self.targets.shift).where(is_taught, torch.nan)
