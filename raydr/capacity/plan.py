"""How many CPU cores feed how many GPUs, from original photographs and from shards: bytes, hours, cost."""

import dataclasses
from dataclasses import dataclass
from math import ceil, inf, isfinite
from typing import Final, Literal

from raydr.capacity.fleet import Fleet, Prices

PICTURES_PER_TASK: Final = 64
"""Pictures that a decoding task makes at once."""
PREFETCHED_BATCHES: Final = 2
"""Batches that wait for each trainer."""
CACHED_SHARE: Final = 0.3
"""Share of a GPU node's object store up to which training keeps its decoded pictures, instead of decoding anew."""

Bottleneck = Literal["GPUs", "decoding", "reading"]


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be trained on."""

    num_images: int
    """Photographs in all, which `prepare` reads."""
    num_train: int
    """Photographs an epoch."""
    epochs: int
    batch_size: int
    """Images a step over all GPUs."""
    side_px: int
    """Side of the network's input."""
    original_bytes: float
    """Mean size of a photograph's file."""
    shard_bytes: float
    """Mean size of a prepared picture."""

    @property
    def picture_bytes(self) -> int:
        """Size of a decoded input, uint8 [3, S, S]."""
        return 3 * self.side_px**2

    def local_batch_size(self, num_gpus: int) -> int:
        """One GPU's images a step: its part of the batch, less where there are not that many images."""
        return min(self.batch_size, self.num_train) // num_gpus


@dataclass(frozen=True, slots=True)
class Rates:
    """Images a second that one core, or one GPU, gets through on its own; all above 0."""

    original_per_s: float
    """Photographs to inputs, one core."""
    shard_per_s: float
    """Prepared pictures to inputs, one core."""
    prepare_per_s: float
    """Photographs to prepared pictures, one core."""
    step_per_s: float
    """Images trained on, one GPU."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not 0 < getattr(self, field.name) < inf:
                raise ValueError(f"{field.name} must be above 0 and finite, got {getattr(self, field.name)}")


@dataclass(frozen=True, slots=True)
class Outlook:
    """A training on some fleet; times are infinite where no core decodes."""

    bottleneck: Bottleneck
    gpu_utilisation: float
    """Share of the time that the GPUs compute, in [0, 1]."""
    epoch_s: float
    total_s: float
    """All epochs, and `prepare` before them where it is needed."""
    epoch_cost: float | None
    total_cost: float | None


@dataclass(frozen=True, slots=True)
class Feed:
    """Training from original photographs or from shards."""

    cores_needed: int
    """Cores that decode as fast as the GPUs train."""
    nodes_to_add: int
    """Decode nodes to add to the fleet, so that decoding and reading keep up with the GPUs."""
    epoch_bytes: float
    """Read from the storage in an epoch; shards are read whole, with the pictures of the other splits."""
    total_bytes: float
    """Read and written in all: in every epoch, and by `prepare` where it is needed."""
    read_bytes_per_s: float
    """Out of the storage into all nodes while the GPUs are busy."""
    in_flight_bytes: float
    """Decoded pictures in all nodes' object stores at a time: two tasks' worth a core, the batches that wait."""
    first_pass_s: float
    """Decoding every training image once on the fleet as it is."""
    as_it_is: Outlook
    with_nodes_added: Outlook


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """What feeding the GPUs takes, without and with `prepare`."""

    images_per_s: float
    """What all GPUs train on when nothing holds them up."""
    steps_per_epoch: int
    picture_bytes_per_s: float
    """Decoded pictures into each GPU node, at most: those that other nodes have decoded."""
    decoded_bytes: float
    """All training images decoded."""
    prepare_s: float
    prepare_cost: float | None
    originals: Feed
    shards: Feed
    break_even_epochs: int | None
    """Epochs from which on `prepare` and training take no longer than training alone, on the fleet as it is; None:
    never."""
    break_even_epochs_cost: int | None
    """Epochs from which on they cost no more, with the nodes added that either needs; None: never, or no prices."""


def plan_capacity(workload: Workload, rates: Rates, fleet: Fleet, prices: Prices | None = None) -> CapacityPlan:
    """What it takes to keep the fleet's GPUs busy.

    ValueError where there are fewer than two images a step for each GPU.
    """
    local_batch = workload.local_batch_size(fleet.num_gpus)
    if local_batch < 2:
        raise ValueError(
            f"{workload.num_train} images in batches of {workload.batch_size} leave fewer than 2 a step for each of "
            f"{fleet.num_gpus} GPUs"
        )
    wanted = fleet.num_gpus * rates.step_per_s
    prepare_s = _prepare_seconds(workload, rates, fleet)
    prepare_cost = None if prices is None else prepare_s / 3600 * _prepare_hourly(fleet, prices)
    # A reader takes whole row groups, in which all splits stand side by side.
    shard_bytes = workload.shard_bytes * workload.num_images / workload.num_train
    moved_bytes = workload.num_images * (workload.original_bytes + workload.shard_bytes)
    from_originals = _Way(rates.original_per_s, workload.original_bytes)
    from_shards = _Way(rates.shard_per_s, shard_bytes, moved_bytes, prepare_s, prepare_cost)
    originals, shards = (_feed(workload, wanted, way, fleet, prices) for way in (from_originals, from_shards))
    return CapacityPlan(
        images_per_s=wanted,
        steps_per_epoch=workload.num_train // fleet.num_gpus // local_batch,
        picture_bytes_per_s=wanted / fleet.gpu_nodes * workload.picture_bytes,
        decoded_bytes=workload.num_train * workload.picture_bytes,
        prepare_s=prepare_s,
        prepare_cost=prepare_cost,
        originals=originals,
        shards=shards,
        break_even_epochs=break_even(prepare_s, originals.as_it_is.epoch_s, shards.as_it_is.epoch_s),
        break_even_epochs_cost=break_even(
            prepare_cost, originals.with_nodes_added.epoch_cost, shards.with_nodes_added.epoch_cost
        ),
    )


def cores_for(images_per_s: float, *, per_core: float, utilisation: float) -> int:
    """Whole cores that decode so many images a second at ``per_core`` each, used to ``utilisation``."""
    return _whole(images_per_s / (per_core * utilisation))


def break_even(once: float | None, before: float | None, after: float | None) -> int | None:
    """Epochs from which on ``once`` and ``after`` an epoch are no more than ``before`` an epoch; None: never."""
    if once is None or before is None or after is None or not isfinite(once + after) or after >= before:
        return None
    return _whole(once / (before - after))


@dataclass(frozen=True, slots=True)
class _Way:
    """Where images come from: what a core decodes a second, what one takes to read, what goes before the epochs."""

    per_core: float
    image_bytes: float
    once_bytes: float = 0.0
    once_s: float = 0.0
    once_cost: float | None = 0.0


def _feed(workload: Workload, wanted: float, way: _Way, fleet: Fleet, prices: Prices | None) -> Feed:
    cores = cores_for(wanted, per_core=way.per_core, utilisation=fleet.utilisation)
    nodes = _whole(max(0, cores - fleet.decode_cores) / fleet.cpus_per_decode_node)
    if fleet.read_bytes_per_s is not None:
        nodes = max(nodes, _whole(wanted * way.image_bytes / fleet.read_bytes_per_s) - fleet.reading_nodes)
    waiting = fleet.num_gpus * PREFETCHED_BATCHES * workload.local_batch_size(fleet.num_gpus)
    epoch_bytes = workload.num_train * way.image_bytes
    return Feed(
        cores_needed=cores,
        nodes_to_add=nodes,
        epoch_bytes=epoch_bytes,
        total_bytes=way.once_bytes + workload.epochs * epoch_bytes,
        read_bytes_per_s=wanted * way.image_bytes,
        in_flight_bytes=(2 * cores * PICTURES_PER_TASK + waiting) * workload.picture_bytes,
        first_pass_s=_seconds(workload.num_train, _supply(way, fleet)[0]),
        as_it_is=_outlook(workload, wanted, way, fleet, prices),
        with_nodes_added=_outlook(workload, wanted, way, fleet.with_more(nodes), prices),
    )


def _outlook(workload: Workload, wanted: float, way: _Way, fleet: Fleet, prices: Prices | None) -> Outlook:
    supply, limit = _supply(way, fleet)
    is_fed = supply >= wanted * (1 - 1e-9)  # what is missing then is rounding error
    epoch_s = _seconds(workload.num_train, wanted if is_fed else supply)
    epoch_cost = None if prices is None else epoch_s / 3600 * prices.hourly(fleet)
    return Outlook(
        bottleneck="GPUs" if is_fed else limit,
        gpu_utilisation=1.0 if is_fed else supply / wanted,
        epoch_s=epoch_s,
        total_s=way.once_s + workload.epochs * epoch_s,
        epoch_cost=epoch_cost,
        total_cost=None
        if epoch_cost is None or way.once_cost is None
        else way.once_cost + workload.epochs * epoch_cost,
    )


def _supply(way: _Way, fleet: Fleet) -> tuple[float, Bottleneck]:
    """Images a second that come out of decoding, and what limits them."""
    decoding = fleet.decode_cores * way.per_core * fleet.utilisation
    reading = inf if fleet.read_bytes_per_s is None else fleet.reading_nodes * fleet.read_bytes_per_s / way.image_bytes
    return (decoding, "decoding") if decoding <= reading else (reading, "reading")


def _prepare_seconds(workload: Workload, rates: Rates, fleet: Fleet) -> float:
    if fleet.prepare_nodes is None:  # no trainer runs yet
        nodes = fleet.gpu_nodes + fleet.decode_nodes
        cores = fleet.gpu_nodes * fleet.cpus_per_gpu_node + fleet.decode_nodes * fleet.cpus_per_decode_node
    else:
        nodes, cores = fleet.prepare_nodes, fleet.prepare_nodes * fleet.cpus_per_decode_node
    images_per_s = cores * rates.prepare_per_s * fleet.utilisation
    if fleet.read_bytes_per_s is not None:
        images_per_s = min(images_per_s, nodes * fleet.read_bytes_per_s / workload.original_bytes)
    return _seconds(workload.num_images, images_per_s)


def _prepare_hourly(fleet: Fleet, prices: Prices) -> float:
    if fleet.prepare_nodes is None:
        return prices.hourly(fleet)
    return fleet.prepare_nodes * fleet.cpus_per_decode_node * prices.cpu_hour


def _seconds(num_images: int, images_per_s: float) -> float:
    return num_images / images_per_s if images_per_s else inf


def _whole(value: float) -> int:
    """Rounded up, but for what is rounding error."""
    return ceil(round(value, 9))
