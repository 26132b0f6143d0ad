"""Settings of networks, methods and their training."""

from typing import Annotated, Literal

from pydantic import Field

from raydr.config.section import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, Section

BatchSize = Annotated[int, Field(ge=2)]
"""Images a step over all workers."""
Preset = Literal["none", "weak", "weak_medium", "strong", "paper", "paper_crop", "paper_colour"]


class ModelSettings(Section):
    """The backbone network."""

    backbone: str = "resnet18"
    """Any image model of timm, by name."""
    weights: str = "none"
    """Where the backbone starts: `none`, `timm` (its published weights), a checkpoint folder of raydr, or a file of
    weights for timm's network of that name (safetensors, or what `torch.save` writes of plain tensors)."""
    channels_last: bool = True
    """Lay pictures out with a pixel's channels side by side: faster convolutions on CPUs, and in bf16 on GPUs."""
    compile: bool = False
    """Let torch.compile make one program of the backbone: minutes at the start, faster steps from then on."""


class DownstreamModelSettings(ModelSettings):
    """The network of a teacher or a student."""

    weights: str = "pretrain"
    """Where the backbone starts: `pretrain` (this run's pretrained backbone, in `raydr run` only), `none`, `timm`, a
    checkpoint folder of raydr or a file of weights."""
    drop_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before the head."""
    batch_norm: Literal["local", "synced"] = "synced"
    """Whose images batch normalisation takes its statistics from where there are several workers: each worker's own, or
    all workers'."""


class OptimSettings(Section):
    """The optimiser and its schedule: linear warm-up, then cosine decay to zero."""

    name: Literal["adamw", "sgd", "lars"] = "adamw"
    """`lars` (arXiv:1708.03888) is for batches in the thousands."""
    learning_rate: PositiveFloat = 3e-4
    """Peak rate; see `scale_learning_rate`."""
    scale_learning_rate: Literal["none", "linear", "sqrt"] = "none"
    """`none`: `learning_rate` is for the batch as it is; else it is for 256 images and grows with `batch_size` / 256
    (arXiv:1706.02677) or with its square root."""
    weight_decay: NonNegativeFloat = 0.05
    """Not applied to biases and normalisation."""
    epochs: PositiveInt = 10
    warmup_fraction: Fraction = 0.1
    batch_size: BatchSize = 64
    """Images a step over all workers."""
    images_at_once: BatchSize | None = None
    """Images that a worker puts through the network at once; null: its whole part of the batch. The gradient stays that
    of the whole batch's loss, contrastive losses too, for a third as much computation again (arXiv:2101.06983); batch
    statistics become those of the images at once."""
    gradient_clip: PositiveFloat | None = 1.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Above 0: an exponential moving average of the weights over the steps, of this decay once it is warm (0.999 suits
    some thousand steps), is validated and kept in place of the weights (arXiv:1703.01780)."""
    precision: Literal["fp32", "bf16"] = "fp32"


class HeadSettings(Section):
    """What the network predicts."""

    kind: Literal["binary", "grades"] = "binary"
    """`binary`: one logit, referable DR (grade >= 2); `grades`: five ICDR grades, referable is their sum from 2 on."""
    start: Literal["fresh", "weights"] = "fresh"
    """Where the head starts: at random, or as that of the classifier whose folder `model.weights` names, which is then
    trained on."""


class ProbeSettings(Section):
    """The check on the representation while it is pretrained: kNN AUC on the validation patients."""

    every_epochs: PositiveInt = 1
    num_neighbours: PositiveInt = 20
