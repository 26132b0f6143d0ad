"""The network interface that workers on CPUs average their gradients over."""

import os
from typing import Any, Final

import psutil
import ray.util
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

_GLOO_INTERFACE: Final = "GLOO_SOCKET_IFNAME"


class RaysInterface(TorchConfig):
    """Torch's process group over the interface that Ray itself uses on each host.

    Gloo takes the one that the host's name resolves to. Debian and Ubuntu let it resolve to 127.0.1.1, where no other
    host is reached: the workers would wait for each other for half an hour.
    """

    @property
    def backend_cls(self) -> type[Any]:
        """What sets the process group up."""
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
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
