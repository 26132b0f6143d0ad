"""Settings into an optimiser: the one place that knows its name."""

import math
from typing import Any, Final

import torch
from timm.optim.lars import Lars
from torch import nn

from raydr.config.learning import OptimSettings

_REFERENCE_BATCH: Final = 256


def build_optimizer(settings: OptimSettings, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser; biases and normalisation are not decayed, and every group keeps its ``peak_lr``.

    LARS's trust ratio too is for the decayed parameters only, as in arXiv:2002.05709.
    """
    rate = peak_learning_rate(settings)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay, "peak_lr": rate},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0, "peak_lr": rate},
    ]
    match settings.name:
        case "adamw":
            is_fused = all(parameter.is_cuda for parameter in trained)
            return torch.optim.AdamW(groups, lr=rate, fused=is_fused)
        case "sgd":
            return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)
        case "lars":
            groups[0]["always_adapt"] = True  # else it would be plain SGD where weight_decay is 0
            return Lars(groups, lr=rate, momentum=0.9)


def peak_learning_rate(settings: OptimSettings) -> float:
    """The rate at the schedule's peak for the settings' batch size."""
    ratio = settings.batch_size / _REFERENCE_BATCH
    match settings.scale_learning_rate:
        case "none":
            return settings.learning_rate
        case "linear":
            return settings.learning_rate * ratio
        case "sqrt":
            return settings.learning_rate * math.sqrt(ratio)
