"""Pieces of work side by side on CPU threads, each of them on one thread alone."""

import functools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch


def on_threads(work: Callable[[slice], None], pieces: Iterable[slice]) -> None:
    """Call ``work`` for every piece, on as many threads at once as torch has for one operation.

    Torch would share every single operation out among its threads and have them wait for one another at its end. Where
    other processes want the same CPUs, as decoding does, a thread then waits for one that does not run, at each of
    many short operations; whole pieces wait for one another only once. What ``work`` raises is raised.

    Gradients, autocast and torch's number of threads are a matter of each thread: ``work`` has the defaults and one.
    """
    num_threads, pieces = torch.get_num_threads(), list(pieces)
    if num_threads == 1 or len(pieces) < 2:
        for piece in pieces:
            work(piece)
        return
    for _ in _pool(num_threads, os.getpid()).map(work, pieces):
        pass


@functools.lru_cache(maxsize=1)
def _pool(num_threads: int, pid: int) -> ThreadPoolExecutor:  # noqa: ARG001  # a forked process has lost its threads
    """Threads on which torch's operations stay."""
    pool, started = ThreadPoolExecutor(num_threads), Barrier(num_threads)

    def start(_: int) -> None:
        torch.get_num_threads()  # a thread takes over the default when first asked, so not after it has been set
        torch.set_num_threads(1)
        started.wait()  # else one thread takes all of these

    list(pool.map(start, range(num_threads)))
    torch.set_num_threads(num_threads)  # what the others set is also the default of threads to come
    return pool
