"""Two gloo processes for a test: a function runs on both ranks, its return values come back."""

import socket
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_on_two_ranks(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``function(rank, *arguments)`` returned on each rank."""
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.start_processes(_enter, args=(function, arguments, port, queue), nprocs=2, start_method="spawn")
    return [value for _, value in sorted((queue.get() for _ in range(2)), key=lambda pair: pair[0])]


def _enter(rank: int, function: Callable[..., Any], arguments: tuple[Any, ...], port: int, queue: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    try:
        queue.put((rank, function(rank, *arguments)))
        dist.barrier()
    finally:
        dist.destroy_process_group()
