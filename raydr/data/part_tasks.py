"""Planned parts made on the cluster: tasks that prepare some photographs each, and tasks that commit a part each.

Plain tasks, not Ray Data: a part is committed as soon as its rows are there, every finished task is progress to show,
and tasks that write take turns with those that decode (a writing operator in Ray Data halved the rate on two CPUs).
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ray
import ray.exceptions

from raydr.data.blocks import cluster_total
from raydr.data.missing import PlannedPart
from raydr.data.parts import Part, commit_chunks
from raydr.data.prepared import Recipe, Tally, prepare_chunk, refused_row
from raydr.errors import RunError

# A task of 64 photographs takes seconds and holds a few MB of pictures: long beside its start, small beside memory.
_LARGEST_CHUNK: Final = 64
_CHUNKS_PER_SLOT: Final = 8  # few images are still spread over all CPUs, and the last task is not waited for long
_QUEUED_PER_SLOT: Final = 3  # so many tasks wait for a CPU, so that none waits for a task
_MIN_QUEUED: Final = 8  # what an autoscaling cluster without CPUs sees of the work
_RETRIES: Final = 3  # of a task whose process or node died
_CRASHES: Final = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)
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

    A photograph that kills the process which decodes it is refused with reason ``crash`` and costs no other.

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


@dataclass(slots=True)
class _OpenPart:
    """A part under way."""

    plan: PlannedPart
    tables: dict[int, Any]
    """Finished tasks' tables by the place of their first photograph."""
    num_missing: int = 0


@dataclass(frozen=True, slots=True)
class _Chunk:
    part: _OpenPart
    start: int
    stop: int
    table: Any


class _Work:
    def __init__(self, planned: Sequence[PlannedPart], *, shards: str, recipe: Recipe, num_cpus: float) -> None:
        options: dict[str, Any] = {"num_cpus": num_cpus, "max_retries": _RETRIES}
        self._prepare: Any = ray.remote(num_returns=2, **options)(prepare_chunk)
        self._commit: Any = ray.remote(**options)(commit_chunks)
        self._shards, self._recipe, self._num_cpus = shards, recipe, num_cpus
        self._waiting = deque(planned)
        num_images = sum(len(part.image_ids) for part in planned)
        self._chunk_size = max(1, min(_LARGEST_CHUNK, math.ceil(num_images / (_CHUNKS_PER_SLOT * self._slots()))))
        self._chunks: dict[Any, _Chunk] = {}
        self._commits: set[Any] = set()
        self.made: list[Part] = []
        self.progress = PrepareProgress(0, num_images, 0)

    def submit(self) -> bool:
        """Queue tasks for as many parts as keep the cluster busy; False when nothing is left to wait for."""
        wanted = max(_MIN_QUEUED, (1 + _QUEUED_PER_SLOT) * self._slots())
        while self._waiting and len(self._chunks) < wanted and len(self._commits) <= self._slots():
            part = _OpenPart(self._waiting.popleft(), {})
            self._queue(part, 0, len(part.plan.uris), self._chunk_size)
        return bool(self._chunks or self._commits)

    def collect(self) -> bool:
        """Take the results of finished tasks, after waiting for a moment; whether there were any."""
        pending = [*self._chunks, *self._commits]
        done, _ = ray.wait(pending, num_returns=len(pending), timeout=_LOOK_EVERY_S)
        for ref in done:
            if ref in self._commits:
                self._commits.remove(ref)
                part: Part | None = ray.get(ref)
                self.made += [part] if part else []
            else:
                self._finish(ref, self._chunks.pop(ref))
        return bool(done)

    def cancel(self) -> None:
        """Take back what was queued, if anything went wrong."""
        for ref in (*self._commits, *self._chunks):
            ray.cancel(ref)

    def _queue(self, part: _OpenPart, start: int, stop: int, size: int) -> None:
        for first in range(start, stop, size):
            chosen = slice(first, min(first + size, stop))
            tally, table = self._prepare.remote(part.plan.image_ids[chosen], part.plan.uris[chosen], self._recipe)
            self._chunks[tally] = _Chunk(part, chosen.start, chosen.stop, table)
            part.num_missing += 1

    def _finish(self, ref: Any, chunk: _Chunk) -> None:
        """Take a task's table, and commit its part if it was the last one."""
        part, table = chunk.part, chunk.table
        part.num_missing -= 1
        try:
            tally: Tally = ray.get(ref)
        except _CRASHES as error:
            if chunk.stop - chunk.start > 1:  # one of them is to blame: each gets a task of its own
                self._queue(part, chunk.start, chunk.stop, 1)
                return
            tally = Tally(1, 1)
            text = f"the process that decoded it died at every attempt ({type(error).__name__})"
            table = ray.put(refused_row(part.plan.image_ids[chunk.start], part.plan.uris[chunk.start], "crash", text))
        part.tables[chunk.start] = table
        before = self.progress
        self.progress = PrepareProgress(
            before.num_done + tally.num_images, before.num_images, before.num_bad + tally.num_bad
        )
        if not part.num_missing:
            tables = [part.tables[start] for start in sorted(part.tables)]
            plan = part.plan
            self._commits.add(self._commit.remote(self._shards, plan.number, self._recipe, plan.known, *tables))

    def _slots(self) -> int:
        """Tasks that the cluster has room for."""
        return max(1, int(cluster_total("CPU") / self._num_cpus))
