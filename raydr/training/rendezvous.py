"""Where the workers of a training find each other, and over which network."""

import os
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil
import ray
import ray.util
from ray.train._internal.base_worker_group import BaseWorkerGroup
from ray.train.torch import TorchConfig

# Private, of Ray 2.60: tests/unit/training/test_rendezvous.py and tests/ray/test_training.py fail where they change.
from ray.train.torch.config import _set_torch_distributed_env_vars, _setup_torch_process_group, _TorchBackend

from raydr.data.nodes import Node

_GLOO_INTERFACE: Final = "GLOO_SOCKET_IFNAME"
_LOOPBACK: Final = ("127.0.0.1", "::1")


def rendezvous(nodes: Sequence[Node]) -> TorchConfig:
    """In a file where the cluster is of this machine alone, else at a port of rank 0's machine, as Ray has it.

    That port is open to every network that the machine is in, whatever address Ray has, and asks nobody who he is.
    Loopback addresses say so, and only those: a cluster that raydr started itself has them, one of `ray start` has its
    machine's address unless it is told 127.0.0.1, where no other machine can join it.
    """
    return FileRendezvous() if all(node.address in _LOOPBACK for node in nodes) else RaysInterface()


class FileRendezvous(TorchConfig):
    """Workers of one machine meet in a file in its folder for temporary ones, whatever ``init_method`` is."""

    @property
    def backend_cls(self) -> type["_FileBackend"]:
        """What sets the process group up."""
        return _FileBackend


class RaysInterface(TorchConfig):
    """Torch's process group over the interface that Ray itself uses on each host.

    Gloo takes the one that the host's name resolves to. Debian and Ubuntu let it resolve to 127.0.1.1, where no other
    host is reached: the workers would wait for each other for half an hour.
    """

    @property
    def backend_cls(self) -> type["_InterfaceBackend"]:
        """What sets the process group up."""
        return _InterfaceBackend


class _FileBackend(_TorchBackend):
    _file: Path | None = None

    def on_start(self, worker_group: BaseWorkerGroup, backend_config: Any) -> None:
        """Let every worker join a new process group."""
        self._delete_file()  # of workers that were ended without a word
        self._file = Path(tempfile.gettempdir()) / f"raydr-workers-{uuid.uuid4().hex}"
        has_gpus = worker_group.get_resources_per_worker().get("GPU", 0) > 0
        worker_group.execute(_set_torch_distributed_env_vars)
        joining: list[Any] = [
            worker_group.execute_single_async(
                rank,
                _setup_torch_process_group,
                backend=backend_config.backend or ("nccl" if has_gpus else "gloo"),
                world_rank=rank,
                world_size=len(worker_group),
                init_method=f"file://{self._file}",
                timeout_s=backend_config.timeout_s,
            )
            for rank in range(len(worker_group))
        ]
        ray.get(joining)

    def on_shutdown(self, worker_group: BaseWorkerGroup, backend_config: Any) -> None:
        """Let them leave it."""
        try:
            super().on_shutdown(worker_group, backend_config)
        finally:
            self._delete_file()

    def _delete_file(self) -> None:
        if self._file is not None:
            self._file.unlink(missing_ok=True)


class _InterfaceBackend(_TorchBackend):
    def on_start(self, worker_group: BaseWorkerGroup, backend_config: Any) -> None:
        """Let every worker join a new process group."""
        worker_group.execute(_use_rays_interface)
        super().on_start(worker_group, backend_config)


def _use_rays_interface() -> None:
    """Name Ray's interface to gloo in this process, unless the environment names one."""
    name = interface_of(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
    if name is not None:
        os.environ.setdefault(_GLOO_INTERFACE, name)


def interface_of(address: str) -> str | None:
    """This host's network interface with an address, None where none has it."""
    interfaces: dict[str, list[Any]] = psutil.net_if_addrs()
    return next((name for name, found in interfaces.items() if any(one.address == address for one in found)), None)
