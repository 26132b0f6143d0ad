"""Settings into a self-supervised method: the one place that knows its name."""

from raydr.build.network import build_backbone
from raydr.config.learning import ModelSettings
from raydr.config.methods import MethodSettings, SimclrSettings
from raydr.engine.collectives import differentiable_gather
from raydr.engine.context import Context
from raydr.engine.method import Method
from raydr.engine.parallel import distributed, no_sync
from raydr.engine.step import View
from raydr.engine.steps.simclr import SimclrStep
from raydr.models.backbone import Backbone
from raydr.models.embedding import EmbeddingNetwork
from raydr.models.projector import Projector


def build_method(model: ModelSettings, settings: MethodSettings, view: View, context: Context) -> Method:
    """The method of that name on a fresh network, on the context's device and over all its workers."""
    backbone = build_backbone(model)
    match settings:
        case SimclrSettings():
            return _simclr(backbone, settings, view, context)


def _simclr(backbone: Backbone, settings: SimclrSettings, view: View, context: Context) -> Method:
    projector = Projector(backbone.num_features, settings.hidden_dim, settings.projection_dim)
    network = EmbeddingNetwork(backbone, projector).to(context.device)
    project = distributed(network, context)
    step = SimclrStep(
        project=project,
        view=view,
        gather=differentiable_gather(context.world_size),
        rank=context.rank,
        temperature=settings.temperature,
    )
    return Method(network, network, step, no_sync(project))
