"""The Ray cluster a job runs on: the one it was told of, or one of its own."""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

import psutil
import ray
import ray.data
from ray._private import ray_constants
from ray.exceptions import RayError

from raydr.config.site import ClusterSettings
from raydr.errors import RunError
from raydr.workflows.console import say

_REACH_S: Final = 10.0
_PEERS_INTERFACE: Final = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""Where the workers of a training listen for each other."""
_is_held: ContextVar[bool] = ContextVar("is_held", default=False)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Keep the cluster that the first `connected` inside opens, if any does, until this context closes."""
    was_open, token = ray.is_initialized(), _is_held.set(True)
    try:
        yield
    finally:
        _is_held.reset(token)
        if ray.is_initialized() and not was_open:
            ray.shutdown()


@contextlib.contextmanager
def connected(settings: ClusterSettings) -> Iterator[None]:
    """A connection to the cluster while the context is open; an open one is used as it is."""
    if ray.is_initialized():
        yield
        return
    address = address_of(settings)
    _quiet()
    with _signals_kept():
        _init(address, settings)
    try:
        yield
    finally:
        if not _is_held.get():
            ray.shutdown()


def address_of(settings: ClusterSettings) -> str | None:
    """The cluster that a job joins, None where it starts one of its own."""
    return settings.address or os.environ.get("RAY_ADDRESS") or None


def _init(address: str | None, settings: ClusterSettings) -> None:
    if address:
        _check_reach(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, RuntimeError, ValueError, RayError) as error:
            raise RunError(
                f"cluster: {address} cannot be joined ({' '.join(str(error).split()) or type(error).__name__}); is it "
                "up, and are RAY_AUTH_MODE and RAY_AUTH_TOKEN those that it was started with?"
            ) from error
        say(f"cluster: joined {address}: {room()}")
    else:
        with _on_loopback():
            ray.init(
                address="local",
                num_cpus=settings.local_cpus,
                object_store_memory=settings.object_store_mib * 2**20 if settings.object_store_mib else None,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.WARNING,
            )
        say(f"cluster: started on this machine: {room()}")


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Let a Ray that starts meanwhile, and what its workers open, listen on this machine's loopback device only.

    On macOS and Windows Ray does so by itself; on Linux it takes the machine's address even if told 127.0.0.1. The
    constant is private: `tests/pipeline/test_run.py` looks at every socket and fails where Ray goes by another.
    """
    interfaces = psutil.net_if_addrs().items()
    loopback = [name for name, found in interfaces if any(each.address == "127.0.0.1" for each in found)]
    ours = {variable: name for variable in _PEERS_INTERFACE for name in loopback[:1] if variable not in os.environ}
    os.environ.update(ours)  # workers will have the environment of now
    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        for name in ours:
            del os.environ[name]


def _check_reach(address: str) -> None:
    """Raise RunError where nobody listens there: Ray itself tries for minutes, and says so in many words."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():  # "auto" and the like
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except OSError as error:
        raise RunError(
            f"cluster: {address} cannot be reached ({error.strerror or error}); is it up, and is that its address?"
        ) from error


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep the program's own answer to SIGTERM: Ray replaces it by one that dies with a stack dump."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def room() -> str:
    """What the connected cluster has, in words."""
    have = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = f", {have['GPU']:g} GPUs" if have.get("GPU") else ""
    return f"{have.get('CPU', 0):g} CPUs{gpus}, object store {have.get('object_store_memory', 0) / 2**30:.1f} GiB"


def _quiet() -> None:
    """Keep Ray's own progress bars and announcements out of a log that people read."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray", "ray.data", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # That there are no progress bars; that a trial has no result file, which none of ours has; that a job will hang
    # on a cluster without a CPU, which the preflight says of one that does not grow.
    for name in ("ray.data._internal.progress", "ray.tune.analysis.experiment_analysis", "ray.data.dataset"):
        logging.getLogger(name).setLevel(logging.ERROR)
