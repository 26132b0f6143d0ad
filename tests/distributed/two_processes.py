"""Two gloo processes for a test: a function runs on both ranks, its return values come back."""

import pickle
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_on_two_ranks(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``function(rank, *arguments)`` returned on each rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Files, not a queue: what a pipe cannot hold at once would keep the process from ending.
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(_enter, args=(function, arguments, port, folder), nprocs=2, start_method="spawn")
        return [pickle.loads((Path(folder) / str(rank)).read_bytes()) for rank in range(2)]


def _enter(rank: int, function: Callable[..., Any], arguments: tuple[Any, ...], port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    try:
        (Path(folder) / str(rank)).write_bytes(pickle.dumps(function(rank, *arguments)))
        dist.barrier()
    finally:
        dist.destroy_process_group()
