"""What each node of the cluster says of itself: versions, GPUs, shared memory, clock, whether it reaches storage."""

import functools
import hashlib
import importlib.metadata
import math
import os
import platform
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import raydr
from raydr import storage
from raydr.data.nodes import Node

_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - where Ray keeps its object store
_COUNT_GPUS: Final = "import torch; print(torch.cuda.device_count())"
_COUNT_PATIENCE_S: Final = 90.0
_PATIENCE_S: Final = 120.0
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class NodeReport:
    """A node as the cluster knows it and as a process on it sees it."""

    node: Node
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of `python`, `ray`, `torch` and `raydr`, and `code`, the digest of raydr's own files."""
    torch_gpus: int | None = None
    """GPUs that torch sees, None where Ray has none to give."""
    shared_memory_bytes: int | None = None
    """Size of /dev/shm, None where there is none."""
    skew_s: float = 0.0
    """At least so much is its clock ahead of this one's (behind, if negative)."""
    storage: str = ""
    """What went wrong when it read and wrote below the job's `out`; "" if nothing did."""
    fault: str = ""
    """Why it says nothing of all this, "" where it does."""


def own_versions() -> dict[str, str]:
    """The versions that this process runs with."""
    return {
        "python": platform.python_version(),
        "ray": ray.__version__,
        "torch": importlib.metadata.version("torch"),
        "raydr": raydr.__version__,
        "code": _code_digest(),
    }


@functools.cache
def _code_digest() -> str:
    root = Path(raydr.__file__).parent
    found = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        found.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return found.hexdigest()[:12]


def count_gpus() -> int:
    """GPUs that torch sees on this machine, whatever this process was given; in a process of its own, some seconds.

    Raises:
        RuntimeError: torch cannot be imported.
    """
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", _COUNT_GPUS],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_COUNT_PATIENCE_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"torch cannot be used: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return int(done.stdout)


def storage_fault(sent: str, content: bytes, own: str) -> str:
    """What is wrong with storage as this process sees it, "" where nothing is.

    Args:
        sent: A file that another process has written.
        content: What it wrote.
        own: A file to write, read and delete again.
    """
    try:
        if storage.read_bytes(sent) != content:
            return f"{sent} is another file here"
        storage.write_bytes(own, content)
        if storage.read_bytes(own) != content:
            return f"{own} does not hold what was written"
        storage.delete_file(own)
    except FileNotFoundError:
        return f"what the driver wrote there is not here ({sent}), so it is no storage that the nodes share"
    except OSError as error:
        return storage.cause_of(error)
    return ""


class NodeProbe:
    """A process on a node, which takes no CPU of the cluster."""

    def look(self, *, has_gpus: bool) -> dict[str, Any]:
        """Versions, GPUs and shared memory, as `NodeReport` has them."""
        shared = shutil.disk_usage(_SHARED_MEMORY).total if Path(_SHARED_MEMORY).is_dir() else None
        return {
            "versions": own_versions(),
            "torch_gpus": count_gpus() if has_gpus else None,
            "shared_memory_bytes": shared,
        }

    def clock(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def storage_fault(self, sent: str, content: bytes, own: str) -> str:
        """As the function of this name."""
        return storage_fault(sent, content, own)


class NodeProbes:
    """A process on each of some nodes, there until it is left.

    Args:
        nodes: Of the cluster.
        patience_s: How long a node may take to answer a question.
    """

    def __init__(self, nodes: Sequence[Node], *, patience_s: float = _PATIENCE_S) -> None:
        self._nodes, self._patience_s = nodes, patience_s
        self._probes: list[Any] = [
            ray.remote(NodeProbe)
            .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False))
            .remote()
            for node in nodes
        ]

    def reports(self, sent: str | None) -> list[NodeReport]:
        """What every node says; of storage only where ``sent`` is given, as in `storage_faults`."""
        looks = self._ask([probe.look.remote(has_gpus=node.gpus > 0) for node, probe in self._pairs()])
        faults = [""] * len(self._nodes) if sent is None else self.storage_faults(sent)
        found = []
        for (node, probe), look, fault in zip(self._pairs(), looks, faults, strict=True):
            if isinstance(look, Exception):
                found.append(NodeReport(node, fault=_told(look, self._patience_s)))
            else:
                told = f"no answer within {self._patience_s:g} s" if fault is None else fault
                found.append(NodeReport(node, **look, skew_s=_skew(probe, self._patience_s), storage=told))
        return found

    def storage_faults(self, sent: str) -> list[str | None]:
        """What is wrong with storage on every node: "" where nothing is, None where the node does not say.

        Args:
            sent: A file that is not there; it is written, and deleted again.

        Raises:
            OSError: This process cannot write it.
        """
        content = uuid.uuid4().hex.encode()
        storage.write_bytes(sent, content)
        try:
            asked = [
                probe.storage_fault.remote(sent, content, f"{sent}-{number}")
                for number, probe in enumerate(self._probes)
            ]
            return [None if isinstance(answer, Exception) else str(answer) for answer in self._ask(asked)]
        finally:
            storage.delete_file(sent)

    def _pairs(self) -> Iterator[tuple[Node, Any]]:
        return zip(self._nodes, self._probes, strict=True)

    def _ask(self, asked: list[Any]) -> list[Any]:
        """The answers, an exception in place of one that did not come."""
        ready, _ = ray.wait(asked, num_returns=len(asked), timeout=self._patience_s)
        come = set(ready)
        return [_answer(one) if one in come else TimeoutError() for one in asked]


def _answer(asked: Any) -> Any:
    try:
        return ray.get(asked)
    except RayError as error:
        return error


def _told(error: Exception, patience_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no process there answered within {patience_s:g} s"
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[-1] if lines else type(cause).__name__


def _skew(probe: Any, patience_s: float) -> float:
    """How much the clock of a node is ahead, less what the way there and back may account for."""
    way, ahead = float("inf"), 0.0
    for _ in range(_ROUNDS):
        asked = time.time()
        try:
            there = ray.get(probe.clock.remote(), timeout=patience_s)
        except RayError:
            break
        answered = time.time()
        way, ahead = min((way, ahead), (answered - asked, there - (asked + answered) / 2))
    return math.copysign(max(0.0, abs(ahead) - way / 2), ahead)
