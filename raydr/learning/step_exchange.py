"""What the workers of a pretraining tell each other in a step, counted on its network."""

from dataclasses import dataclass

import torch
from torch import nn

from raydr.build import build_method
from raydr.config.stages import PretrainStage
from raydr.engine.context import Context
from raydr.images.augment import augmentation
from raydr.learning.step_rate import AloneContext

_GRADIENT_BYTES = 4  # of one weight: gradients are float32 in either precision
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True, slots=True)
class StepExchange:
    """Of one step, however many workers there are."""

    gradient_bytes: int
    num_small: int
    """Exchanges of a few numbers: one forward and one backward for each synchronised batch normalisation."""


def count_step_exchange(settings: PretrainStage) -> StepExchange:
    """Of the pretraining as it is set; its network is built, the weights that it starts from do not matter."""
    context: Context = AloneContext(torch.device("cpu"))
    model = settings.model.model_copy(update={"weights": "none"})
    network = build_method(
        model, settings.method, augmentation(settings.augment, side_px=settings.view_side_px), context
    ).network
    is_synced = settings.method.batch_norm == "synced"
    return StepExchange(
        gradient_bytes=_GRADIENT_BYTES * sum(each.numel() for each in network.parameters() if each.requires_grad),
        num_small=2 * sum(isinstance(module, _NORMS) for module in network.modules()) if is_synced else 0,
    )
