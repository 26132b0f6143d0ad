"""Planned parts made on the cluster: tasks that prepare some photographs each, and tasks that commit a part each.

Plain tasks, not Ray Data: a part is committed as soon as its rows are there, every finished task is progress to show,
and no CPU is held back for the operator that writes (Ray Data keeps a share for each, on two CPUs one of them).
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ray

from raydr.data.blocks import cluster_total
from raydr.data.missing import PlannedPart
from raydr.data.parts import Part, commit_chunks
from raydr.data.prepared import Recipe, Tally, prepare_chunk
from raydr.errors import RunError

# A task of 64 photographs takes seconds and holds a few MB of pictures: long beside its start, small beside memory.
_LARGEST_CHUNK: Final = 64
_CHUNKS_PER_TASK_SLOT: Final = 8  # few images are still spread over all CPUs, and the last task is not waited for long
_QUEUED_PER_TASK_SLOT: Final = 3  # so many tasks wait for a CPU, so that none waits for a task
_MIN_QUEUED: Final = 8  # what an autoscaling cluster without CPUs sees of the work
_LOOK_EVERY_S: Final = 0.5
_STALL_TIMEOUT_S: Final = 1800.0


@dataclass(frozen=True, slots=True)
class PrepareProgress:
    """How far the work is."""

    num_done: int
    num_images: int
    num_bad: int
    """Of those done, the ones that cannot be used."""


def make_parts(
    planned: Sequence[PlannedPart],
    *,
    shards: str,
    recipe: Recipe,
    num_cpus: float,
    on_progress: Callable[[PrepareProgress], None],
) -> list[Part]:
    """The parts that were committed: those of ``planned`` with something new in them, in no order.

    Args:
        planned: What is to be made.
        shards: Folder of the parts.
        recipe: How the pictures are made.
        num_cpus: CPUs a task reserves.
        on_progress: Called about twice a second.

    Raises:
        RunError: For half an hour no task was finished.
    """
    work = _Work(planned, shards=shards, recipe=recipe, num_cpus=num_cpus)
    last_change = time.monotonic()
    try:
        while work.submit():
            if work.collect():
                last_change = time.monotonic()
                on_progress(work.progress)
            elif time.monotonic() - last_change > _STALL_TIMEOUT_S:
                raise RunError(
                    f"prepare: no task was finished in {_STALL_TIMEOUT_S / 60:g} minutes; a task reserves {num_cpus:g} "
                    f"of the cluster's {cluster_total('CPU'):g} CPUs: are they free?"
                )
    finally:
        work.cancel()
    return work.made


class _Work:
    def __init__(self, planned: Sequence[PlannedPart], *, shards: str, recipe: Recipe, num_cpus: float) -> None:
        self._prepare: Any = ray.remote(num_cpus=num_cpus, num_returns=2)(prepare_chunk)
        self._commit: Any = ray.remote(num_cpus=num_cpus)(commit_chunks)
        self._shards, self._recipe, self._num_cpus = shards, recipe, num_cpus
        self._waiting = deque(planned)
        num_images = sum(len(part.image_ids) for part in planned)
        self._chunk_size = max(1, min(_LARGEST_CHUNK, math.ceil(num_images / (_CHUNKS_PER_TASK_SLOT * self._slots()))))
        self._chunks: set[Any] = set()
        self._commits: set[Any] = set()
        self.made: list[Part] = []
        self.progress = PrepareProgress(0, num_images, 0)

    def submit(self) -> bool:
        """Queue tasks for as many parts as keep the cluster busy; False when nothing is left to wait for."""
        wanted = max(_MIN_QUEUED, (1 + _QUEUED_PER_TASK_SLOT) * self._slots())
        while self._waiting and len(self._chunks) < wanted:
            part = self._waiting.popleft()
            tables = []
            for start in range(0, len(part.image_ids), self._chunk_size):
                chosen = slice(start, start + self._chunk_size)
                tally, table = self._prepare.remote(part.image_ids[chosen], part.uris[chosen], self._recipe)
                self._chunks.add(tally)
                tables.append(table)
            self._commits.add(self._commit.remote(self._shards, part.number, self._recipe, part.known, *tables))
        return bool(self._chunks or self._commits)

    def collect(self) -> bool:
        """Take the results of finished tasks, after waiting for a moment; whether there were any."""
        pending = [*self._chunks, *self._commits]
        done, _ = ray.wait(pending, num_returns=len(pending), timeout=_LOOK_EVERY_S)
        chunks = [ref for ref in done if ref in self._chunks]
        commits = [ref for ref in done if ref in self._commits]
        tallies: list[Tally] = ray.get(chunks)
        self.made += [part for part in ray.get(commits) if part is not None]
        self._chunks.difference_update(chunks)
        self._commits.difference_update(commits)
        before = self.progress
        self.progress = PrepareProgress(
            before.num_done + sum(tally.num_images for tally in tallies),
            before.num_images,
            before.num_bad + sum(tally.num_bad for tally in tallies),
        )
        return bool(done)

    def cancel(self) -> None:
        """Take back what was queued, if anything went wrong."""
        for ref in (*self._commits, *self._chunks):
            ray.cancel(ref)

    def _slots(self) -> int:
        """Tasks that the cluster has room for."""
        return max(1, int(cluster_total("CPU") / self._num_cpus))
