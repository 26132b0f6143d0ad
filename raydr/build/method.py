"""Settings into a self-supervised method: the one place that knows its name."""

from torch import nn

from raydr.build.network import build_backbone, compile_backbones, place
from raydr.config.learning import ModelSettings
from raydr.config.methods import (
    ByolSettings,
    DinoSettings,
    LesionsSettings,
    MaeSettings,
    MethodSection,
    MethodSettings,
    MocoV3Settings,
    SimclrSettings,
    VicregSettings,
)
from raydr.engine.collectives import differentiable_gather
from raydr.engine.context import Context
from raydr.engine.method import Method
from raydr.engine.parallel import distributed, no_sync
from raydr.engine.shuffle import Embed, shuffled, unshuffled
from raydr.engine.step import CroppingView, View
from raydr.engine.steps.byol import ByolStep
from raydr.engine.steps.dino import DinoPace, DinoStep
from raydr.engine.steps.lesions import LesionsStep
from raydr.engine.steps.mae import MaeStep
from raydr.engine.steps.moco_v3 import MocoV3Step
from raydr.engine.steps.simclr import SimclrStep
from raydr.engine.steps.vicreg import VicregStep
from raydr.errors import InputError
from raydr.images.lesions import SIGNS
from raydr.models.backbone import Backbone, check_backbone
from raydr.models.dino_head import DinoHead
from raydr.models.dino_network import DinoNetwork
from raydr.models.embedding import EmbeddingNetwork
from raydr.models.heads import LastNorm, PerceptronHead
from raydr.models.masked_autoencoder import MaskedAutoencoder, check_transformer
from raydr.models.memory_network import MemoryNetwork
from raydr.models.momentum import MomentumNetwork
from raydr.models.multi_crop import MultiCrop
from raydr.models.projector import Projector


def check_method(model: ModelSettings, settings: MethodSettings, key: str = "model.backbone") -> None:
    """Raise InputError, naming the ``key``, where timm does not know the backbone or the method cannot train it."""
    check_backbone(model.backbone, key)
    if isinstance(settings, MaeSettings):
        check_transformer(model.backbone, key)


def build_method(model: ModelSettings, settings: MethodSettings, view: CroppingView, context: Context) -> Method:
    """The method of that name on a fresh network, on the context's device and over all its workers."""
    method = _built(build_backbone(model), settings, view, context)
    if model.compile:
        compile_backbones(method.network)
    return method


def _built(backbone: Backbone, settings: MethodSettings, view: CroppingView, context: Context) -> Method:
    match settings:
        case SimclrSettings():
            return _simclr(backbone, settings, view, context)
        case ByolSettings():
            return _byol(backbone, settings, view, context)
        case MocoV3Settings():
            return _moco_v3(backbone, settings, view, context)
        case VicregSettings():
            return _vicreg(backbone, settings, view, context)
        case DinoSettings():
            return _dino(backbone, settings, view, context)
        case MaeSettings():
            return _mae(backbone, settings, view, context)
        case LesionsSettings():
            return _lesions(backbone, settings, view, context)


def _simclr(backbone: Backbone, settings: SimclrSettings, view: View, context: Context) -> Method:
    width = settings.projection_dim
    projector = Projector(backbone.num_features, settings.hidden_dim, width, num_layers=settings.projection_layers)
    embedding = EmbeddingNetwork(backbone, projector)
    memory = MemoryNetwork(embedding, memory_size=settings.memory_size, width=width) if settings.memory_size else None
    network = embedding if memory is None else memory
    place(network, settings.batch_norm, context)
    project = distributed(embedding, context)
    step = SimclrStep(
        project=project,
        view=view,
        gather=differentiable_gather(context.world_size),
        rank=context.rank,
        temperature=settings.temperature,
        decoupled=settings.decoupled,
        memory=memory,
        memory_momentum=settings.memory_momentum,
    )
    return Method(network, embedding, step, no_sync(project))


def _byol(backbone: Backbone, settings: ByolSettings, view: View, context: Context) -> Method:
    hidden, width = settings.hidden_dim, settings.projection_dim
    embedding = EmbeddingNetwork(backbone, PerceptronHead(backbone.num_features, hidden, width))
    network = MomentumNetwork(embedding, PerceptronHead(width, hidden, width))
    place(network, settings.batch_norm, context)
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
    place(network, settings.batch_norm, context)
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


def _vicreg(backbone: Backbone, settings: VicregSettings, view: View, context: Context) -> Method:
    expander = PerceptronHead(backbone.num_features, settings.hidden_dim, settings.projection_dim, num_layers=3)
    network = EmbeddingNetwork(backbone, expander)
    place(network, settings.batch_norm, context)
    embed = distributed(network, context)
    step = VicregStep(
        embed=embed,
        view=view,
        gather=differentiable_gather(context.world_size),
        invariance_weight=settings.invariance_weight,
        variance_weight=settings.variance_weight,
        covariance_weight=settings.covariance_weight,
    )
    return Method(network, network, step, no_sync(embed))


def _dino(backbone: Backbone, settings: DinoSettings, view: CroppingView, context: Context) -> Method:
    head = DinoHead(
        backbone.num_features,
        settings.hidden_dim,
        settings.bottleneck_dim,
        settings.num_prototypes,
        prototype_rate=0.0 if settings.frozen_fraction else 1.0,
    )
    network = DinoNetwork(backbone, head, teacher_temperature=settings.first_teacher_temperature)
    place(network, settings.batch_norm, context)
    project = distributed(MultiCrop(network.online.embedding), context)
    step = DinoStep(
        network=network,
        project=project,
        view=view,
        local_view=view.cropped(area=settings.local_area, side_px=settings.local_side_px),
        num_local_views=settings.num_local_views,
        gather=differentiable_gather(context.world_size),
        student_temperature=settings.student_temperature,
        centre_momentum=settings.centre_momentum,
        pace=DinoPace(
            momentum=settings.momentum,
            first_teacher_temperature=settings.first_teacher_temperature,
            teacher_temperature=settings.teacher_temperature,
            warmup_fraction=settings.temperature_warmup_fraction,
            frozen_fraction=settings.frozen_fraction,
        ),
    )
    return Method(network, network.target, step, no_sync(project))


def _mae(backbone: Backbone, settings: MaeSettings, view: View, context: Context) -> Method:
    network = MaskedAutoencoder(backbone, decoder_dim=settings.decoder_dim, decoder_depth=settings.decoder_depth)
    place(network, settings.batch_norm, context)
    reconstruct = distributed(network, context)
    step = MaeStep(network=network, reconstruct=reconstruct, view=view, hidden_fraction=settings.hidden_fraction)
    return Method(network, EmbeddingNetwork(backbone, nn.Identity()), step, no_sync(reconstruct))


def _lesions(backbone: Backbone, settings: LesionsSettings, view: View, context: Context) -> Method:
    network = EmbeddingNetwork(backbone, nn.Linear(backbone.num_features, len(SIGNS)))
    place(network, settings.batch_norm, context)
    tell = distributed(network, context)
    return Method(network, network, LesionsStep(tell, view), no_sync(tell))


def _target(network: MomentumNetwork, settings: MethodSection, context: Context) -> Embed:
    if settings.batch_norm == "shuffled":
        return shuffled(network.target, rank=context.rank, world_size=context.world_size)
    return unshuffled(network.target)


def _freeze_patches(backbone: Backbone) -> None:
    patches = getattr(backbone.network, "patch_embed", None)
    if not isinstance(patches, nn.Module):
        raise InputError(f"method.freeze_patches: {backbone.name!r} has no patch embedding; allowed is false")
    patches.requires_grad_(requires_grad=False)
