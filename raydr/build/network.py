"""Settings into preprocessing and networks: the one place that knows where a backbone may start."""

from typing import Literal

from torch import nn

from raydr.config.images import PreprocessSettings, RetinaSettings
from raydr.config.learning import DownstreamModelSettings, ModelSettings
from raydr.engine.collectives import differentiable_gather
from raydr.engine.context import Context
from raydr.engine.package import NUM_OUTPUTS, Head, load_backbone_weights, load_head_weights
from raydr.engine.weights_file import is_weights_file, load_weights_file
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import Backbone, create_backbone
from raydr.models.batch_norm import synced
from raydr.models.classifier import Classifier


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
            backbone = create_backbone(settings.backbone, weights=start)
        case uri:
            backbone = create_backbone(settings.backbone)
            if is_weights_file(uri):
                load_weights_file(uri, backbone.network)
            else:
                load_backbone_weights(uri, backbone, name=settings.backbone)
    if settings.channels_last:
        backbone.lay_channels_last()
    return backbone


def build_classifier(
    settings: DownstreamModelSettings, head: Head, context: Context, *, with_head: bool = False
) -> Classifier:
    """The backbone and its head, on the context's device: a fresh one, or ``with_head`` that of `settings.weights`."""
    network = Classifier(build_backbone(settings), NUM_OUTPUTS[head], drop_rate=settings.drop_rate)
    if with_head:
        load_head_weights(settings.weights, network.head, kind=head)
    place(network, settings.batch_norm, context)
    if settings.compile:
        compile_backbones(network)
    return network


def place(network: nn.Module, batch_norm: Literal["local", "synced", "shuffled"], context: Context) -> None:
    """Put the network on the device, with batch statistics over all workers where they are ``synced``."""
    if batch_norm == "synced" and context.world_size > 1:
        synced(network, differentiable_gather(context.world_size), context.device)
    network.to(context.device)


def compile_backbones(network: nn.Module) -> None:
    """Let torch.compile make programs of a finished network's backbones; a copy made later would not be compiled."""
    for module in network.modules():
        if isinstance(module, Backbone):
            module.network.compile()
