"""Settings into an optimiser: the one place that knows its name."""

import torch
from torch import nn

from raydr.config.learning import OptimSettings


def build_optimizer(settings: OptimSettings, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser; biases and normalisation are not decayed, and every group keeps its ``peak_lr``."""
    decayed = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay, "peak_lr": settings.learning_rate},
        {"params": others, "weight_decay": 0.0, "peak_lr": settings.learning_rate},
    ]
    match settings.name:
        case "adamw":
            return torch.optim.AdamW(groups, lr=settings.learning_rate)
        case "sgd":
            return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)
