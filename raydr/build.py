"""Settings into objects: the one place that knows a method's, an optimiser's or a start's name."""

import torch
from torch import nn

from raydr.config.images import PreprocessSettings, RetinaSettings
from raydr.config.learning import (
    DistillationSettings,
    DownstreamModelSettings,
    ModelSettings,
    OptimSettings,
    SimclrSettings,
)
from raydr.engine.collectives import differentiable_gather
from raydr.engine.context import Context
from raydr.engine.package import NUM_OUTPUTS, Head, load_backbone_weights
from raydr.engine.steps import DistilStep, SimclrStep, View
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import Backbone, create_backbone
from raydr.models.classifier import Classifier
from raydr.models.contrastive import ContrastiveNetwork
from raydr.models.projector import Projector


def build_preprocess(settings: PreprocessSettings, *, through_px: int | None = None) -> Preprocess:
    """The input of a network, by way of shards of ``through_px`` where there are any."""
    return Preprocess(
        side_px=settings.side_px,
        crop=settings.crop,
        enhance=settings.enhance,
        max_megapixels=settings.max_megapixels,
        through_px=through_px,
    )


def build_shard_preprocess(settings: RetinaSettings, *, side_px: int) -> Preprocess:
    """What `prepare` stores."""
    return Preprocess(
        side_px=side_px, crop=settings.crop, enhance=settings.enhance, max_megapixels=settings.max_megapixels
    )


def build_backbone(settings: ModelSettings) -> Backbone:
    """The backbone, started as the settings say."""
    match settings.weights:
        case "none" | "timm" as start:
            return create_backbone(settings.backbone, weights=start)
        case folder:
            backbone = create_backbone(settings.backbone)
            load_backbone_weights(folder, backbone, name=settings.backbone)
            return backbone


def build_classifier(settings: DownstreamModelSettings, head: Head) -> Classifier:
    """The backbone with a fresh head."""
    return Classifier(build_backbone(settings), NUM_OUTPUTS[head], drop_rate=settings.drop_rate)


def build_contrastive(model: ModelSettings, method: SimclrSettings) -> ContrastiveNetwork:
    """The backbone with the method's projector."""
    backbone = build_backbone(model)
    return ContrastiveNetwork(backbone, Projector(backbone.num_features, method.hidden_dim, method.projection_dim))


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


def build_simclr_step(settings: SimclrSettings, project: nn.Module, view: View, context: Context) -> SimclrStep:
    """SimCLR's step over all workers' views."""
    return SimclrStep(
        project=project,
        view=view,
        gather=differentiable_gather(context.world_size),
        rank=context.rank,
        temperature=settings.temperature,
    )


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
