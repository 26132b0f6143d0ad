"""The machines that train and decode, and their price."""

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fleet:
    """The machines: GPU nodes, whose spare cores decode beside the trainers, and CPU nodes that only decode."""

    gpu_nodes: int
    gpus_per_node: int
    cpus_per_gpu_node: int
    cpus_per_trainer: float
    """CPUs that a GPU's trainer takes for itself."""
    decode_nodes: int
    cpus_per_decode_node: int
    utilisation: float
    """Share of a core's measured rate to count on, in (0, 1): Ray, the network and the neighbours take the rest."""
    read_bytes_per_s: float | None = None
    """What one node gets out of the storage; None where that is no limit."""
    prepare_nodes: int | None = None
    """Decode nodes that `prepare` runs on; None for all nodes there are."""

    def __post_init__(self) -> None:
        if not 0 < self.utilisation < 1:
            raise ValueError(f"utilisation must be above 0 and below 1, got {self.utilisation}")
        if self.gpus_per_node * self.cpus_per_trainer > self.cpus_per_gpu_node:
            raise ValueError(
                f"{self.gpus_per_node} trainers of {self.cpus_per_trainer:g} CPUs do not fit a node of "
                f"{self.cpus_per_gpu_node}"
            )

    @property
    def num_gpus(self) -> int:
        """GPUs in all."""
        return self.gpu_nodes * self.gpus_per_node

    @property
    def spare_cores(self) -> int:
        """Whole cores that the trainers leave on the GPU nodes."""
        return self.gpu_nodes * int(self.cpus_per_gpu_node - self.gpus_per_node * self.cpus_per_trainer)

    @property
    def decode_cores(self) -> int:
        """Cores that decode while the GPUs train."""
        return self.spare_cores + self.decode_nodes * self.cpus_per_decode_node

    @property
    def reading_nodes(self) -> int:
        """Nodes that read and decode while the GPUs train."""
        return (self.gpu_nodes if self.spare_cores else 0) + self.decode_nodes

    def of(self, *, gpu_nodes: int, decode_nodes: int) -> "Fleet":
        """The same of other numbers of nodes."""
        return dataclasses.replace(self, gpu_nodes=gpu_nodes, decode_nodes=decode_nodes)

    def with_more(self, decode_nodes: int) -> "Fleet":
        """The same with so many more decode nodes."""
        return dataclasses.replace(self, decode_nodes=self.decode_nodes + decode_nodes)


@dataclass(frozen=True, slots=True)
class Prices:
    """What an hour costs, in any currency."""

    gpu_hour: float
    """One GPU with its part of its node."""
    cpu_hour: float
    """One core of a decode node."""

    def hourly(self, fleet: Fleet) -> float:
        """The whole fleet."""
        return fleet.num_gpus * self.gpu_hour + fleet.decode_nodes * fleet.cpus_per_decode_node * self.cpu_hour
