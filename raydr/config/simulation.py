"""Settings of a simulated training: fleets to compare, how nodes are lost, what Ray, network and states take."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from raydr.config.capacity import MachineSettings
from raydr.config.explain import Problem
from raydr.config.section import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, Section
from raydr.config.site import ClusterSettings


class FleetSettings(Section):
    """One of the fleets; what is null is as in `machines`."""

    gpu_nodes: PositiveInt
    gpus_per_node: PositiveInt | None = None
    cpus_per_gpu_node: PositiveInt | None = None
    decode_nodes: Annotated[int, Field(ge=0)] = 0

    def of_node(self, machines: MachineSettings) -> tuple[int, int]:
        """GPUs and CPUs of a GPU node."""
        return self.gpus_per_node or machines.gpus_per_node, self.cpus_per_gpu_node or machines.cpus_per_gpu_node


class SimulationSettings(Section):
    """The training of `pretrain` on each of `fleets`, many times, with nodes that are lost by chance."""

    fleets: dict[str, FleetSettings] = Field(min_length=1)
    """By a name of your own."""
    images_from: Literal["prepared", "originals"] = "prepared"
    repetitions: PositiveInt = 200
    lost_per_hour: NonNegativeFloat = 0.05
    """How often an hour a node is taken away, by chance, at any time alike; yours to set, for your cloud and zone."""
    notice_s: NonNegativeFloat = 100.0
    """From Ray's knowing of it until the node is gone, where it is announced: 100 for the pods of `cluster/kuberay`
    (their preStop hook), about 115 on AWS, 25 on Google Cloud; the training saves at once and goes on until then. A
    node that decodes counts as gone at once, and pictures held in memory as held for ever."""
    arrival_minutes: NonNegativeFloat = 6.0
    """From the loss of a node until another has come: noticed, booted, image pulled, joined. Assumed; yours to set."""
    restart_s: NonNegativeFloat = 30.0
    """From when all nodes are there until the training goes on; yours to set, from a log. Measured: 13 s from a killed
    worker to the next step, two workers of a small network on 2 CPU cores (the first test of
    `tests/ray/test_survival.py`, timed on 26 November 2026, other work running)."""
    fewest_share: Fraction = 0.5
    """Share of the GPU nodes with which an elastic training (`cluster.max_workers`) goes on."""
    save_every_minutes: PositiveFloat | None = ClusterSettings.model_fields["save_every_minutes"].default
    """As `cluster.save_every_minutes`; every epoch's end is saved besides."""
    save_s: NonNegativeFloat = 0.3
    """How long the training stands still for a state; it is written beside it. Measured: 0.07 to 0.29 s for the 296 MB
    of SimCLR with a ResNet-50 and AdamW on one core (26 November 2026)."""
    epoch_pause_s: NonNegativeFloat = 0.4
    """From an epoch's end to the next one's first step. Measured until the first batch (`jobs/bench_ingest.py`);
    validation is not in it."""
    step_spread: NonNegativeFloat = 0.05
    """Standard deviation of a GPU's step over its mean; a step takes as long as the slowest's. Assumed."""
    network_gbit_per_s: PositiveFloat | None = None
    """A node's network, each way, for gradients and for pictures that other nodes have decoded; null: no limit."""
    latency_us: NonNegativeFloat = 25.0
    """Of a message between two nodes, in millionths of a second. Assumed; yours to set."""
    gradient_mb: PositiveFloat | None = None
    """Gradients that are averaged in a step, in 10^6 bytes; null counts the network's weights, 4 bytes each."""
    tasks_per_s: PositiveFloat = 570.0
    """That a Ray cluster gets through. Ray's own release benchmark `many_tasks` has 569 on 2,500 CPUs
    (release/perf_metrics/benchmarks/many_tasks.json in its repository)."""
    coordinator_task_ms: NonNegativeFloat = 7.0
    """Work that each decoding task makes for Ray Data's split coordinator, one process for all trainers (its cost: Ray
    issues 49190 and 63544). Measured: `python jobs/bench_coordinator.py`."""
    coordinator_block_ms: NonNegativeFloat = 3.0
    """Work that each block of 64 decoded pictures makes for it. Measured likewise."""
    coordinator_held_ms: NonNegativeFloat = 1.0
    """Work that each block of 64 pictures makes for it that is held in memory. Measured likewise."""


def impossible_fleets(
    simulation: SimulationSettings, machines: MachineSettings, *, batch_size: int
) -> Iterator[Problem]:
    """What does not fit together."""
    for name, fleet in simulation.fleets.items():
        gpus, cpus = fleet.of_node(machines)
        if gpus * machines.cpus_per_trainer > cpus:
            yield (
                ("simulation", "fleets", name, "cpus_per_gpu_node"),
                f"{gpus} trainers of machines.cpus_per_trainer = {machines.cpus_per_trainer:g} CPUs do not fit the "
                f"{cpus} of a GPU node",
            )
        if batch_size < 2 * gpus * fleet.gpu_nodes:
            yield (
                ("simulation", "fleets", name, "gpu_nodes"),
                f"pretrain.optim.batch_size = {batch_size} is less than two images a step for each of "
                f"{gpus * fleet.gpu_nodes} GPUs",
            )
