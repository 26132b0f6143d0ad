"""Settings of the self-supervised methods, one section a method."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from raydr.config.section import PositiveFloat, PositiveInt, Section


def _not_shuffled(value: Any) -> Any:
    if value == "shuffled":
        raise ValueError(
            "must be 'local' or 'synced': 'shuffled' is for methods with a momentum network (byol, moco_v3)"
        )
    return value


LocalOrSynced = Annotated[Literal["local", "synced"], BeforeValidator(_not_shuffled)]
Momentum = Annotated[float, Field(ge=0, lt=1)]


class MethodSection(Section):
    """What the sections of all methods have in common."""

    name: str
    batch_norm: Literal["local", "synced", "shuffled"] = "synced"
    """Whose images batch normalisation takes its statistics from where there are several workers: each worker's own
    (`local`), all workers' as all these methods' authors do (`synced`), or each worker's own with the momentum
    network's images exchanged between the workers (`shuffled`, arXiv:1911.05722, section 3.3)."""


class SimclrSettings(MethodSection):
    """SimCLR (arXiv:2002.05709): every view must find its twin among all workers' views."""

    name: Literal["simclr"] = "simclr"
    batch_norm: LocalOrSynced = "synced"
    """Whose images batch normalisation takes its statistics from where there are several workers: each worker's own
    (`local`), or all workers' (`synced`), as the authors do."""
    temperature: PositiveFloat = 0.2
    hidden_dim: PositiveInt = 512
    projection_dim: PositiveInt = 128


class ByolSettings(MethodSection):
    """BYOL (arXiv:2006.07733): predict what a slow copy of the network makes of the other view. No negatives.

    The defaults are the authors' (section 3.3), for a ResNet-50 and batches of 4096 over 1000 epochs.
    """

    name: Literal["byol"] = "byol"
    hidden_dim: PositiveInt = 4096
    """Of the projector and of the predictor."""
    projection_dim: PositiveInt = 256
    momentum: Momentum = 0.996
    """Of the slow copy, at the start; it rises to 1 by a cosine. The authors take 0.99 for 300 epochs."""


class MocoV3Settings(MethodSection):
    """MoCo v3 (arXiv:2104.02057): each view must find the other's key, made by a slow copy, among all workers' keys.

    The defaults are those of the authors' code for a ResNet-50 and batches of 4096. For vision transformers they take
    `temperature = 0.2`, `projection_layers = 3`, `predictor_norm = true` and `freeze_patches = true`.
    """

    name: Literal["moco_v3"] = "moco_v3"
    temperature: PositiveFloat = 1.0
    """The loss is multiplied by twice this."""
    hidden_dim: PositiveInt = 4096
    """Of the projector and of the predictor."""
    projection_dim: PositiveInt = 256
    projection_layers: Annotated[int, Field(ge=2)] = 2
    predictor_norm: bool = False
    """Whether the predictor ends in batch normalisation, as the projector does."""
    freeze_patches: bool = False
    """Leave a vision transformer's patch embedding at its initial weights, which keeps its training stable."""
    momentum: Momentum = 0.99
    """Of the slow copy, at the start; it rises to 1 by a cosine. The authors take 0.996 for 1000 epochs."""


def _named(value: Any) -> Any:
    """Settings that name no method are SimCLR's."""
    return {"name": "simclr", **value} if isinstance(value, Mapping) else value


MethodSettings = Annotated[
    SimclrSettings | ByolSettings | MocoV3Settings, Field(discriminator="name"), BeforeValidator(_named)
]
"""Any method's settings; `name` says whose."""
