"""The nodes of the Ray cluster and what each has."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


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

    def has_label(self, label: str) -> bool:
        """Whether its labels hold `key=value`."""
        key, value = label_pair(label)
        return self.labels.get(key) == value


def start_here(kind: type, prefix: str) -> tuple[str, Any]:
    """The name and the handle of an actor of class ``kind`` on this process's node, which takes no CPU of the cluster.

    Other processes of the same job find it by its name; it ends with the handle.
    """
    name = f"{prefix}-{uuid.uuid4().hex}"
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return name, ray.remote(kind).options(name=name, num_cpus=0, scheduling_strategy=here).remote()


def alive_nodes() -> list[Node]:
    """The cluster's nodes now."""
    return [
        Node(
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
            node["Resources"].get("object_store_memory", 0.0),
            node["Labels"],
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]
