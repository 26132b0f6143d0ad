"""The nodes of the Ray cluster and what each has."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

_ROUNDING: Final = 1e-9  # a node of 0.3 CPUs holds three tasks of 0.1


def label_pair(label: str) -> tuple[str, str]:
    """Key and value of a label written `key=value`."""
    key, _, value = label.partition("=")
    return key, value


@dataclass(frozen=True, slots=True)
class Node:
    """What a node has, used or not."""

    cpus: float
    gpus: float
    store_bytes: float
    """Object store."""
    labels: Mapping[str, str]
    node_id: str = ""
    """Ray's, in hex."""
    address: str = ""

    def has_label(self, label: str) -> bool:
        """Whether its labels hold `key=value`."""
        key, value = label_pair(label)
        return self.labels.get(key) == value


def start_here(kind: type, prefix: str) -> tuple[str, Any]:
    """The name and the handle of an actor of class ``kind`` on this process's node, which takes no CPU of the cluster.

    Other processes of the same job find it by its name; it ends with the handle.
    """
    name = f"{prefix}-{uuid.uuid4().hex}"
    # With soft=True Ray puts what takes no resources on any node at random (ray-project/ray#25360).
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return name, ray.remote(kind).options(name=name, num_cpus=0, scheduling_strategy=here).remote()


def alive_nodes() -> list[Node]:
    """The cluster's nodes now."""
    return [
        Node(
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
            node["Resources"].get("object_store_memory", 0.0),
            node["Labels"],
            node["NodeID"],
            node["NodeManagerAddress"],
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


def num_that_fit(nodes: Sequence[Node], *, cpus: float, gpus: float) -> int:
    """How many of what takes so many CPUs and GPUs, of which not both are 0, the nodes can hold, each on one node."""
    return sum(
        min(int(have / need + _ROUNDING) for have, need in ((node.cpus, cpus), (node.gpus, gpus)) if need > 0)
        for node in nodes
    )
