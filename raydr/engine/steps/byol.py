"""BYOL's step."""

from dataclasses import dataclass

from torch import Tensor

from raydr.engine.batch import Batch
from raydr.engine.step import Outputs
from raydr.engine.steps.momentum import MomentumStep
from raydr.losses.regression import direction_loss


@dataclass(frozen=True, slots=True)
class ByolStep(MomentumStep):
    """BYOL (arXiv:2006.07733): the online network predicts what its slow copy makes of the other view."""

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:  # noqa: ARG002
        """The regression loss in both directions, summed (section 3.1)."""
        first, second, first_target, second_target = outputs
        return direction_loss(first, second_target) + direction_loss(second, first_target)
