"""The supervised step."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raydr.engine.batch import Batch
from raydr.engine.step import Outputs, Step, View
from raydr.losses.classification import label_loss


@dataclass(frozen=True, slots=True)
class ClassifyStep(Step):
    """Supervised learning on labelled images."""

    network: nn.Module
    view: View
    class_weights: Tensor | None

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """Logits of one random view an image."""
        return (self.network(self.view(batch.image, generator)),)

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The label loss."""
        return label_loss(outputs[0], batch.grade, weights=self.class_weights)
