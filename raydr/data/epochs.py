"""Which epoch a stream is in, as the trainers say."""

from dataclasses import dataclass, field
from typing import Any

import ray

from raydr.data.nodes import start_here


class _Clock:
    def __init__(self) -> None:
        self._epoch = 0

    def set(self, epoch: int) -> None:
        self._epoch = epoch

    def now(self) -> int:
        return self._epoch


@dataclass(frozen=True, slots=True)
class EpochClock:
    """The number of the epoch that a stream gives next; the first until it is told otherwise.

    Ray Data plans a split dataset anew whenever all its readers have asked for their next epoch, but counts from 0 in
    every set of workers. So one trainer sets the clock before it asks for an epoch, and what plans the epoch reads it:
    a resumed training sees the same epochs as an uninterrupted one.
    """

    name: str
    """Under which the other processes of the same job find it; it ends with the object that `start_clock` returned."""
    _actor: Any = field(default=None, repr=False, compare=False)

    def set(self, epoch: int) -> None:
        """Epoch ``epoch`` (from 0) comes next; holds when this returns."""
        ray.get(self._handle().set.remote(epoch))

    def now(self) -> int:
        """The epoch set last."""
        epoch: int = ray.get(self._handle().now.remote())
        return epoch

    def _handle(self) -> Any:
        return ray.get_actor(self.name) if self._actor is None else self._actor


def start_clock() -> EpochClock:
    """A clock on this process's node, which takes no CPU of the cluster."""
    return EpochClock(*start_here(_Clock, "raydr-epoch"))
