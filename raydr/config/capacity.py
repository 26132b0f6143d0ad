"""Settings of a capacity plan: the images, the machines, what they cost and how fast they are."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from raydr.config.explain import Problem
from raydr.config.section import NonNegativeFloat, PositiveFloat, PositiveInt, Section
from raydr.config.site import TrackingSettings


class PlanImages(Section):
    """The photographs to plan for: a manifest, of which everything else is taken, or figures."""

    manifest: str | None = None
    """`manifest.parquet` of `index`: its rows are counted, a sample of its files is looked at."""
    num_images: PositiveInt | None = None
    """Photographs in all; null counts the manifest's."""
    num_train: PositiveInt | None = None
    """Photographs an epoch; null counts the manifest's train split, or takes all of `num_images`."""
    original_bytes: PositiveFloat | None = None
    """Mean size of a photograph's file; null takes the mean of a sample."""
    shard_bytes: PositiveFloat | None = None
    """Mean size of a prepared picture; null has it measured."""


class RateSettings(Section):
    """Images a second of one core or one GPU on its own; what is null is measured where `calibrate` is true."""

    original_per_s: PositiveFloat | None = None
    """Photographs to the network's input, one core."""
    shard_per_s: PositiveFloat | None = None
    """Prepared pictures to the network's input, one core."""
    prepare_per_s: PositiveFloat | None = None
    """Photographs to prepared pictures, one core."""
    step_per_s: PositiveFloat | None = None
    """Images trained on, one GPU; an image counts once, however many views are made of it."""


class CalibrationSettings(Section):
    """How rates are measured on this machine."""

    seconds: PositiveFloat = 5.0
    """About how long each rate is measured."""
    num_photographs: PositiveInt = 24
    """Photographs of the manifest that are decoded, drawn by the seed."""


class MachineSettings(Section):
    """The cluster to plan for: GPU nodes, whose spare cores decode, and CPU nodes that only decode."""

    gpu_nodes: PositiveInt
    gpus_per_node: PositiveInt = 8
    cpus_per_gpu_node: PositiveInt
    """Cores as Ray counts them: a vCPU is one; rates must be a vCPU's then, measured while its twin is busy too."""
    cpus_per_trainer: NonNegativeFloat = 2.0
    """Cores that each GPU's trainer takes; the rest of the node decodes."""
    decode_nodes: Annotated[int, Field(ge=0)] = 0
    """CPU nodes there are already."""
    cpus_per_decode_node: PositiveInt = 64
    prepare_nodes: PositiveInt | None = None
    """CPU nodes that `prepare` runs on, before any GPU is rented; null takes all nodes there are, GPU nodes too."""
    utilisation: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Share of a core's rate to count on; Ray, the network and the neighbours take the rest."""
    read_mb_per_s: PositiveFloat | None = None
    """What a node gets out of the storage, in 10^6 bytes a second; null: that is no limit."""
    object_store_gib: PositiveFloat | None = None
    """Ray's object store on each GPU node; null: not known."""


class PriceSettings(Section):
    """What an hour costs, in any currency."""

    gpu_hour: NonNegativeFloat
    """One GPU with its part of its node."""
    cpu_hour: NonNegativeFloat
    """One core of a decode node."""


class PlanTracking(TrackingSettings):
    """A plan trains nothing, so it is not recorded unless it is asked for."""

    enabled: bool = False


def missing_figures(images: PlanImages, rates: RateSettings, *, calibrate: bool) -> Iterator[Problem]:
    """What is neither given nor can be found out."""
    if (images.manifest is None) == (images.num_images is None):
        yield ("images",), "exactly one of manifest and num_images must be set"
    if images.num_train is not None and images.num_train > (images.num_images or 0):
        yield ("images", "num_train"), "must be at most num_images, and is counted where there is a manifest"
    if images.original_bytes is None and images.manifest is None:
        yield ("images", "original_bytes"), "is required where there is no manifest to take the mean of"
    for path, value in (
        (("images", "shard_bytes"), images.shard_bytes),
        *((("rates", name), getattr(rates, name)) for name in RateSettings.model_fields),
    ):
        if value is not None:
            continue
        if not calibrate:
            yield path, "is neither given nor measured; set it, or calibrate = true to measure it on this machine"
        elif images.manifest is None and path != ("rates", "step_per_s"):
            yield path, "is measured on the photographs of images.manifest, which is not set; set one of the two"


def impossible_machines(machines: MachineSettings, *, batch_size: int) -> Iterator[Problem]:
    """What does not fit together."""
    taken = machines.gpus_per_node * machines.cpus_per_trainer
    if taken > machines.cpus_per_gpu_node:
        yield (
            ("machines", "cpus_per_trainer"),
            f"{machines.gpus_per_node} trainers of {machines.cpus_per_trainer:g} CPUs do not fit the "
            f"{machines.cpus_per_gpu_node} of a GPU node",
        )
    gpus = machines.gpu_nodes * machines.gpus_per_node
    if batch_size < 2 * gpus:
        yield (
            ("pretrain", "optim", "batch_size"),
            f"must be at least {2 * gpus}, two images a step for each of {gpus} GPUs (got {batch_size})",
        )
