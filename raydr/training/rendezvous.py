"""Where the workers of a training find each other."""

import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ray
from ray.train._internal.base_worker_group import BaseWorkerGroup
from ray.train.backend import BackendConfig
from ray.train.torch import TorchConfig
from ray.train.torch.config import _set_torch_distributed_env_vars, _setup_torch_process_group, _TorchBackend

from raydr.data.nodes import Node
from raydr.training.interface import RaysInterface

_LOOPBACK: Final = ("127.0.0.1", "::1")


def rendezvous(nodes: Sequence[Node]) -> TorchConfig:
    """In a file where the cluster is of this machine alone, else at a port of rank 0's machine, as Ray has it.

    That port is open to every network that the machine is in, whatever address Ray has, and asks nobody who he is.
    """
    return FileRendezvous() if all(node.address in _LOOPBACK for node in nodes) else RaysInterface()


@dataclass
class FileRendezvous(TorchConfig):
    """Workers of one machine meet in a file in its folder for temporary ones."""

    @property
    def backend_cls(self) -> type["_FileBackend"]:
        """What sets the process group up."""
        return _FileBackend


class _FileBackend(_TorchBackend):
    _file: Path | None = None

    def on_start(self, worker_group: BaseWorkerGroup, backend_config: BackendConfig) -> None:  # noqa: ARG002 - Ray's
        """Let every worker join a new process group."""
        self._file = Path(tempfile.gettempdir()) / f"raydr-workers-{uuid.uuid4().hex}"
        has_gpus = worker_group.get_resources_per_worker().get("GPU", 0) > 0
        worker_group.execute(_set_torch_distributed_env_vars)
        joining: list[Any] = [
            worker_group.execute_single_async(
                rank,
                _setup_torch_process_group,
                backend="nccl" if has_gpus else "gloo",
                world_rank=rank,
                world_size=len(worker_group),
                init_method=f"file://{self._file}",
            )
            for rank in range(len(worker_group))
        ]
        ray.get(joining)

    def on_shutdown(self, worker_group: BaseWorkerGroup, backend_config: BackendConfig) -> None:
        """Let them leave it."""
        try:
            super().on_shutdown(worker_group, backend_config)
        finally:
            if self._file is not None:
                self._file.unlink(missing_ok=True)
