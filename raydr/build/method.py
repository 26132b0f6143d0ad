"""Settings into a self-supervised method: the one place that knows its name."""

from torch import nn

from raydr.build.network import build_backbone
from raydr.config.learning import ModelSettings
from raydr.config.methods import ByolSettings, MethodSection, MethodSettings, MocoV3Settings, SimclrSettings
from raydr.engine.collectives import differentiable_gather
from raydr.engine.context import Context
from raydr.engine.method import Method
from raydr.engine.parallel import distributed, no_sync
from raydr.engine.shuffle import Embed, shuffled, unshuffled
from raydr.engine.step import View
from raydr.engine.steps.byol import ByolStep
from raydr.engine.steps.moco_v3 import MocoV3Step
from raydr.engine.steps.simclr import SimclrStep
from raydr.errors import InputError
from raydr.models.backbone import Backbone
from raydr.models.batch_norm import synced
from raydr.models.embedding import EmbeddingNetwork
from raydr.models.heads import LastNorm, PerceptronHead
from raydr.models.momentum import MomentumNetwork
from raydr.models.projector import Projector


def build_method(model: ModelSettings, settings: MethodSettings, view: View, context: Context) -> Method:
    """The method of that name on a fresh network, on the context's device and over all its workers."""
    backbone = build_backbone(model)
    match settings:
        case SimclrSettings():
            return _simclr(backbone, settings, view, context)
        case ByolSettings():
            return _byol(backbone, settings, view, context)
        case MocoV3Settings():
            return _moco_v3(backbone, settings, view, context)


def _simclr(backbone: Backbone, settings: SimclrSettings, view: View, context: Context) -> Method:
    projector = Projector(backbone.num_features, settings.hidden_dim, settings.projection_dim)
    network = EmbeddingNetwork(backbone, projector)
    _place(network, settings, context)
    project = distributed(network, context)
    step = SimclrStep(
        project=project,
        view=view,
        gather=differentiable_gather(context.world_size),
        rank=context.rank,
        temperature=settings.temperature,
    )
    return Method(network, network, step, no_sync(project))


def _byol(backbone: Backbone, settings: ByolSettings, view: View, context: Context) -> Method:
    hidden, width = settings.hidden_dim, settings.projection_dim
    embedding = EmbeddingNetwork(backbone, PerceptronHead(backbone.num_features, hidden, width))
    network = MomentumNetwork(embedding, PerceptronHead(width, hidden, width))
    _place(network, settings, context)
    predict = distributed(network.online, context)
    step = ByolStep(
        network=network,
        predict=predict,
        embed_target=_target(network, settings, context),
        view=view,
        momentum=settings.momentum,
    )
    return Method(network, embedding, step, no_sync(predict))


def _moco_v3(backbone: Backbone, settings: MocoV3Settings, view: View, context: Context) -> Method:
    hidden, width = settings.hidden_dim, settings.projection_dim
    projector = PerceptronHead(
        backbone.num_features, hidden, width, num_layers=settings.projection_layers, last_norm="plain"
    )
    embedding = EmbeddingNetwork(backbone, projector)
    last_norm: LastNorm = "plain" if settings.predictor_norm else "none"
    if settings.freeze_patches:
        _freeze_patches(backbone)
    network = MomentumNetwork(embedding, PerceptronHead(width, hidden, width, last_norm=last_norm))
    _place(network, settings, context)
    predict = distributed(network.online, context)
    step = MocoV3Step(
        network=network,
        predict=predict,
        embed_target=_target(network, settings, context),
        view=view,
        gather=differentiable_gather(context.world_size),
        rank=context.rank,
        temperature=settings.temperature,
        momentum=settings.momentum,
    )
    return Method(network, embedding, step, no_sync(predict))


def _place(network: nn.Module, settings: MethodSection, context: Context) -> None:
    """Put the network on the device, batch statistics over all workers where the settings say so."""
    if settings.batch_norm == "synced" and context.world_size > 1:
        synced(network, differentiable_gather(context.world_size), context.device)
    network.to(context.device)


def _target(network: MomentumNetwork, settings: MethodSection, context: Context) -> Embed:
    if settings.batch_norm == "shuffled":
        return shuffled(network.target, rank=context.rank, world_size=context.world_size)
    return unshuffled(network.target)


def _freeze_patches(backbone: Backbone) -> None:
    patches = getattr(backbone.network, "patch_embed", None)
    if not isinstance(patches, nn.Module):
        raise InputError(f"method.freeze_patches: {backbone.name!r} has no patch embedding; allowed is false")
    patches.requires_grad_(requires_grad=False)
