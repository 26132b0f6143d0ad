"""Settings of the self-supervised methods, one section a method."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from raydr.config.images import Side
from raydr.config.section import AsTuple, Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, Section


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
    projection_layers: Literal[2, 3] = 2
    """3 as in SimCLR v2 (arXiv:2006.10029)."""
    decoupled: bool = False
    """Leave a view's twin out of what it must be apart from (DCL, arXiv:2110.06848): better in small batches."""
    memory_size: Annotated[int, Field(ge=0)] = 0
    """Embeddings of earlier images that a view must be apart from as well (SimCLR v2, arXiv:2006.10029, section 2),
    two an image, made by a slow copy of the network; 0 is none. The authors report about 1 % more accuracy in batches
    of 4096; MoCo (arXiv:1911.05722) takes 65536 in batches of 256."""
    memory_momentum: Momentum = 0.999
    """Of the slow copy, which follows after every step."""


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


class VicregSettings(MethodSection):
    """VICReg (arXiv:2105.04906): twins agree, every feature varies, no two features say the same. No negatives.

    The defaults are the authors' (section 4.2), for a ResNet-50 and batches of 2048 over 1000 epochs. The covariance
    matrix takes 4 bytes times the square of `projection_dim`: 256 MiB as it is.
    """

    name: Literal["vicreg"] = "vicreg"
    batch_norm: LocalOrSynced = "synced"
    """Whose images batch normalisation takes its statistics from where there are several workers: each worker's own
    (`local`), or all workers' (`synced`), as the authors do. The loss's own statistics are always of all."""
    hidden_dim: PositiveInt = 8192
    projection_dim: PositiveInt = 8192
    invariance_weight: NonNegativeFloat = 25.0
    variance_weight: NonNegativeFloat = 25.0
    """Of both views' sum, as in the paper's eq. 6; the authors' code takes their mean, for which set 12.5 here."""
    covariance_weight: NonNegativeFloat = 1.0


class DinoSettings(MethodSection):
    """DINO (arXiv:2104.14294): from any crop tell what a slowly following teacher says of another. No negatives.

    The defaults are the authors' (section 3.2, appendix D) for a ViT-S/16 and batches of 1024. The two global views
    are those of `augment`, whose `weak_medium` has the authors' crops. The teacher is what is probed and kept.
    """

    name: Literal["dino"] = "dino"
    batch_norm: LocalOrSynced = "synced"
    """Whose images a backbone's batch normalisation takes its statistics from where there are several workers: each
    worker's own (`local`), or all workers' (`synced`), as the authors do. The head has none."""
    hidden_dim: PositiveInt = 2048
    bottleneck_dim: PositiveInt = 256
    num_prototypes: Annotated[int, Field(ge=2)] = 65536
    """Outputs. Fewer will do for few images; a step holds a row of them for every view of every image."""
    num_local_views: Annotated[int, Field(ge=0)] = 8
    """Small crops beside the two global views; 0 leaves them out."""
    local_side_px: Side = 96
    """Of the small crops: the authors' for images of 224 px. For 512 px 224 is in proportion."""
    local_area: Annotated[tuple[Fraction, Fraction], AsTuple] = (0.05, 0.4)
    """Least and largest share of a picture that a small crop shows. Below 0.2 it may show no lesion at all."""
    student_temperature: PositiveFloat = 0.1
    first_teacher_temperature: PositiveFloat = 0.04
    teacher_temperature: PositiveFloat = 0.07
    """Which the teacher's rises to; above it the authors found training unstable."""
    temperature_warmup_fraction: Fraction = 0.1
    """Share of the run over which it rises: the authors' 30 of 300 epochs."""
    frozen_fraction: Fraction = 0.01
    """Share of the run in which the prototypes stay as they are: the authors' first of 100 epochs."""
    centre_momentum: Momentum = 0.9
    momentum: Momentum = 0.996
    """Of the teacher, at the start; it rises to 1 by a cosine. The authors advise 0.9995 for batches of 256."""

    @field_validator("local_area")
    @classmethod
    def _is_a_range(cls, area: tuple[float, float]) -> tuple[float, float]:
        if not 0 < area[0] <= area[1]:
            raise ValueError("must be two shares above 0, the smaller one first")
        return area


class MaeSettings(MethodSection):
    """MAE (arXiv:2111.06377): tell the hidden parts of a picture from the visible ones. Vision transformers only.

    The defaults are the authors' (section 4.1, table 1). They crop and flip, no more: `augment = "weak"` is nearest.
    """

    name: Literal["mae"] = "mae"
    batch_norm: LocalOrSynced = "synced"
    """Without effect: vision transformers have none."""
    hidden_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """Share of the patches that the encoder does not see."""
    decoder_dim: Annotated[int, Field(gt=0, multiple_of=32)] = 512
    """In heads of 32."""
    decoder_depth: PositiveInt = 8


class LesionsSettings(MethodSection):
    """Find made-up lesions: microaneurysms, haemorrhages, exudates and cotton wool are painted into the photographs.

    CutPaste's idea (arXiv:2104.04015) with what a reader of fundus photographs looks for. One view an image and no
    large batch: it learns in a few epochs, small batches will do (`optim.batch_size = 32`). `augment = "weak"` keeps
    the finest lesions.
    """

    name: Literal["lesions"] = "lesions"
    batch_norm: LocalOrSynced = "synced"
    """Whose images batch normalisation takes its statistics from where there are several workers: each worker's own
    (`local`), or all workers' (`synced`)."""


def _named(value: Any) -> Any:
    """Settings that name no method are SimCLR's."""
    return {"name": "simclr", **value} if isinstance(value, Mapping) else value


MethodSettings = Annotated[
    SimclrSettings | ByolSettings | MocoV3Settings | VicregSettings | DinoSettings | MaeSettings | LesionsSettings,
    Field(discriminator="name"),
    BeforeValidator(_named),
]
"""Any method's settings; `name` says whose."""
