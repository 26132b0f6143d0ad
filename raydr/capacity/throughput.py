"""How many images a second a training gets through while no node is lost, and what holds it up."""

import functools
from dataclasses import dataclass
from math import ceil, inf, log2
from statistics import NormalDist
from typing import Final, Literal

import numpy as np

from raydr.capacity.fleet import Fleet
from raydr.capacity.plan import PICTURES_PER_TASK, Workload

STREAMED_SHARE: Final = 0.5
"""Of the object store, what Ray Data gives a stream (RAY_DATA_OBJECT_STORE_MEMORY_LIMIT_FRACTION in Ray 2.60)."""

HeldUpBy = Literal["GPUs", "decoding", "reading", "tasks", "coordinator", "object store", "network"]


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where a training's images come from."""

    per_core: float
    """Images a second that one core decodes; infinite where they are held in memory."""
    image_bytes: float
    """Read from the storage for an image."""
    images_per_task: int
    """That a decoding task makes."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the GPUs tell each other in a step. Inside a node that takes no time: it does between nodes."""

    gradient_bytes: float
    num_small: int
    """Exchanges of a few numbers in which all wait for all: two for each synchronised batch normalisation."""
    node_bytes_per_s: float
    """A node's network, each way; infinite where that is no limit."""
    latency_s: float
    """Of one message between nodes."""

    def seconds(self, num_nodes: int) -> float:
        """A step's exchanges, as if none of them went on beside the computation.

        Gradients go around a ring: 2 (n - 1) messages of an n-th of them (Patarasuk and Yuan, DOI
        10.1016/j.jpdc.2008.09.002). A few numbers go up and down a tree, as NCCL sends them.
        """
        if num_nodes == 1:
            return 0.0
        messages = 2 * (num_nodes - 1)
        ring = messages * (self.gradient_bytes / num_nodes / self.node_bytes_per_s + self.latency_s)
        return ring + self.num_small * 2 * ceil(log2(num_nodes)) * self.latency_s


@dataclass(frozen=True, slots=True)
class RayLimits:
    """What Ray itself gets through, however large the cluster is."""

    tasks_per_s: float
    """That the whole cluster starts and ends."""
    coordinator_task_s: float
    """Of work that a decoding task makes for the one process that shares a stream out among all trainers."""
    coordinator_block_s: float
    """Of work for it that each block of pictures makes which a task has decoded."""
    coordinator_held_s: float
    """Of work for it that each block of pictures makes which is held in memory."""
    store_bytes: float
    """Of a node's object store; infinite where it is not known."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What an image takes, in seconds of the whole training; infinite where no image ever comes."""

    held_up_by: HeldUpBy
    computing_s: float
    straggling_s: float
    """Waiting for the slowest GPU of a step."""
    exchanging_s: float
    starving_s: float
    """Waiting for images."""

    @property
    def image_s(self) -> float:
        """In all."""
        return self.computing_s + self.straggling_s + self.exchanging_s + self.starving_s


@dataclass(frozen=True, slots=True)
class Machinery:
    """A training and all that its pace depends on, but for the nodes that are there."""

    workload: Workload
    source: ImageSource
    step_per_s: float
    """Images a second that one GPU trains on."""
    step_spread: float
    """Standard deviation of a GPU's step over its mean, at least 0."""
    exchange: Exchange
    limits: RayLimits

    def pace(self, fleet: Fleet) -> Pace:
        """Of the training on so many nodes; without a GPU or an image to train on it is infinite."""
        batch = self.workload.local_batch_size(fleet.num_gpus)
        if batch < 2:
            raise ValueError(
                f"{self.workload.num_train} images in batches of {self.workload.batch_size} leave fewer than 2 a step "
                f"for each of {fleet.num_gpus} GPUs"
            )
        images = batch * fleet.num_gpus
        computing_s = batch / self.step_per_s
        straggling_s = computing_s * self.step_spread * expected_largest(fleet.num_gpus)
        exchanging_s = self.exchange.seconds(fleet.gpu_nodes)
        busy_s = (computing_s + straggling_s + exchanging_s) / images
        supply, limit = min((rate, name) for name, rate in self.supplies(fleet).items())
        is_fed = supply * busy_s >= 1 - 1e-9
        return Pace(
            held_up_by="GPUs" if is_fed else limit,
            computing_s=computing_s / images,
            straggling_s=straggling_s / images,
            exchanging_s=exchanging_s / images,
            starving_s=0.0 if is_fed else _inverse(supply) - busy_s,
        )

    def supplies(self, fleet: Fleet) -> dict[HeldUpBy, float]:
        """Images a second that come through each part of the way to the GPUs."""
        source, picture = self.source, self.workload.picture_bytes
        is_held = source.per_core == inf
        supplies: dict[HeldUpBy, float] = {
            "coordinator": _inverse(self._sharing_s(is_held=is_held)),
            "network": inf,
        }
        if fleet.reading_nodes > 1 or fleet.gpu_nodes > 1:  # at most: all of a node's pictures come from others
            supplies["network"] = fleet.gpu_nodes * self.exchange.node_bytes_per_s / picture
        if is_held:
            return supplies
        # A running task's pictures, and as many of one that waits to be fetched; what is more is made to wait.
        room = STREAMED_SHARE * self.limits.store_bytes * (fleet.gpu_nodes + fleet.decode_nodes)
        tasks = room / (2 * source.images_per_task * picture)
        per_core = source.per_core * fleet.utilisation
        supplies["decoding"] = fleet.decode_cores * per_core
        supplies["object store"] = tasks * per_core
        supplies["tasks"] = self.limits.tasks_per_s * source.images_per_task
        if fleet.read_bytes_per_s is not None:
            supplies["reading"] = fleet.reading_nodes * fleet.read_bytes_per_s / source.image_bytes
        return supplies

    def _sharing_s(self, *, is_held: bool) -> float:
        """The coordinator's work for an image."""
        if is_held:
            return self.limits.coordinator_held_s / PICTURES_PER_TASK
        task_s = self.limits.coordinator_task_s / self.source.images_per_task
        return task_s + self.limits.coordinator_block_s / PICTURES_PER_TASK


def _inverse(value: float) -> float:
    return 1 / value if value else inf


@functools.cache
def expected_largest(count: int) -> float:
    """By how many standard deviations the largest of ``count`` normal values exceeds their mean, on average."""
    if count == 1:
        return 0.0
    normal = NormalDist()
    places = np.linspace(-8.0, 8.0, 4001)
    below = np.array([normal.cdf(place) for place in places]) ** count
    return float((places[1:] + places[:-1]) / 2 @ np.diff(below))
