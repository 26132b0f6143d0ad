"""Cells as tasks of Ray: each as soon as its teacher is done, as many at once as there is room for."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayError

from raydr.config.site import ClusterSettings
from raydr.data.nodes import Node, num_that_fit
from raydr.engine.batch import Pool
from raydr.errors import InputError
from raydr.study.cell import CellOrders, StudyImages, run_cell, score_cell
from raydr.study.records import CellRecord
from raydr.training.failures import reason


@dataclass(frozen=True, slots=True)
class Share:
    """What one task takes of the cluster."""

    cpus: float
    gpus: float
    max_parallel: int | None
    """Tasks at once; None: as many as there is room for."""
    grows: bool
    """The cluster has room for whatever is asked for, later."""
    max_failures: int
    """How often a task whose worker crashed is tried again."""

    @property
    def num_threads(self) -> int:
        """Of torch, in a task."""
        return max(1, int(self.cpus))

    def num_at_once(self) -> int | None:
        """How many tasks may be waiting or under way; None: any number."""
        if self.max_parallel is not None or self.grows:
            return self.max_parallel
        have = ray.cluster_resources()  # type: ignore[no-untyped-call]
        needs = ((self.cpus, "CPU"), (self.gpus, "GPU"))
        return max(1, min(int(have.get(kind, 0.0) / need + 1e-9) for need, kind in needs if need))

    def task(self, function: Callable[..., Any]) -> Any:
        """A function as a task of Ray, tried again where its worker crashes, not where it raises."""
        return ray.remote(function).options(
            num_cpus=self.cpus,
            num_gpus=self.gpus,
            max_retries=self.max_failures,
            scheduling_strategy="SPREAD",
            name=f"raydr:{function.__name__}",
        )


class Audience(Protocol):
    """Whoever follows the cells."""

    def begin(self, name: str) -> CellOrders:
        """Hear that a cell is given to the cluster, and say what it is told."""

    def done(self, name: str, record: CellRecord) -> None:
        """Hear that a cell is trained."""

    def failed(self, name: str, why: str) -> None:
        """Hear that a cell has failed for good, or cannot begin since its teacher has."""


def check_cell_room(cpus: float, gpus: float, cluster: ClusterSettings, nodes: Sequence[Node]) -> None:
    """Raise InputError where no node of a cluster of fixed size can hold a cell: it would be waited for."""
    if not cluster.autoscaling and not num_that_fit(nodes, cpus=cpus, gpus=gpus):
        raise InputError(
            f"study: cpus_per_cell: a cell needs {cpus:g} CPUs and {gpus:g} GPUs on one node, which no node has; lower "
            "cpus_per_cell or gpus_per_cell, or set cluster.autoscaling where the cluster grows on demand"
        )


def shared(images: StudyImages | Pool) -> Any:
    """Images in the object store, from where tasks read them; nothing else needs to hold them."""
    return ray.put(images)


def run_cells(
    names: Sequence[str], teachers: Mapping[str, str], images: Any, *, share: Share, audience: Audience
) -> dict[str, str]:
    """Train cells; returns why each one failed that did. One that fails stops none but those that it was to teach.

    Args:
        names: Of the cells, in the order in which they are begun where they may.
        teachers: The cell that teaches each one that is taught; one that is not among ``names`` is trained already.
        images: Of all cells, a `StudyImages` as `shared` gives it.
        share: What a cell takes.
        audience: Told of every beginning and end.
    """
    task, at_hand = share.task(run_cell), set(teachers.values()) - set(names)
    waiting, failures = list(names), dict[str, str]()
    under_way: dict[Any, str] = {}

    def is_ready(name: str) -> bool:
        return name not in teachers or teachers[name] in at_hand

    with _cancelled(under_way):
        while waiting or under_way:
            for name in [name for name in waiting if teachers.get(name) in failures]:
                waiting.remove(name)
                failures[name] = f"its teacher {teachers[name]} failed"
                audience.failed(name, failures[name])
            limit = share.num_at_once()
            ready = [name for name in waiting if is_ready(name)]
            for name in ready if limit is None else ready[: max(0, limit - len(under_way))]:
                waiting.remove(name)
                under_way[task.remote(audience.begin(name), images)] = name
            for reference in _finished(under_way):
                name = under_way.pop(reference)
                try:
                    record: CellRecord = ray.get(reference)
                except RayError as error:
                    failures[name] = reason(error)
                    audience.failed(name, failures[name])
                else:
                    at_hand.add(name)
                    audience.done(name, record)
    return failures


def score_cells(folders: Mapping[str, str], pool: Any, *, share: Share) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Name and logits [N, outputs] on a pool of each model, as they are done.

    Args:
        folders: Of the models, by name.
        pool: The images, a `Pool` as `shared` gives it.
        share: What a task takes.
    """
    task = share.task(score_cell)
    waiting = list(folders)
    under_way: dict[Any, str] = {}
    with _cancelled(under_way):
        while waiting or under_way:
            limit = share.num_at_once()
            room = len(waiting) if limit is None else max(0, limit - len(under_way))
            for name in waiting[:room]:
                under_way[task.remote(folders[name], pool, share.num_threads)] = name
            del waiting[:room]
            for reference in _finished(under_way):
                name = under_way.pop(reference)
                yield name, ray.get(reference)


def _finished(under_way: Mapping[Any, str]) -> list[Any]:
    """Those that have ended; waits for one where some are under way."""
    return ray.wait(list(under_way), num_returns=1)[0] if under_way else []


@contextlib.contextmanager
def _cancelled(under_way: Mapping[Any, str]) -> Iterator[None]:
    """End what is still under way when the block is left early."""
    try:
        yield
    finally:
        for reference in under_way:
            with contextlib.suppress(RayError, ValueError):
                ray.cancel(reference, force=True)
