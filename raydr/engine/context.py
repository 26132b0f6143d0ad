"""The seam to whatever runs a training: rank, device, reports, wishes and resumption."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

import torch
import torch.distributed as dist

from raydr.engine.wish import Wish

SaveState = Callable[[Path], None]
"""Writes the training's state, as it was when this was made, into a folder; may be called while training goes on."""


class Context(Protocol):
    """One worker's view of the run; Ray Train, Ray Tune and a plain process each implement it."""

    @property
    def rank(self) -> int:
        """This worker's number."""

    @property
    def world_size(self) -> int:
        """Number of workers."""

    @property
    def device(self) -> torch.device:
        """Where this worker computes."""

    def wish(self) -> Wish:
        """What this worker has been told from outside; asked at every step, so it must not take long."""

    def tell(self, figures: Mapping[str, float]) -> None:
        """Take rank 0's figures of the moment, for whoever looks on; about once a second."""

    def report(self, metrics: Mapping[str, float], save_state: SaveState) -> None:
        """Hand in an epoch's metrics; every rank must call it, and rank 0's state is saved where states are kept."""

    def keep(self, step: int, save_state: SaveState) -> None:
        """Save rank 0's state in the middle of an epoch, after ``step`` steps of the run; every rank must call it."""

    def states(self) -> Iterator[contextlib.AbstractContextManager[Path]]:
        """The kept states, newest first, each a local folder while it is open; none at a fresh start."""


@dataclass(slots=True)
class LocalContext:
    """A single process, or a worker of ``torchrun``: keeps the two newest states in a folder of its own."""

    folder: Path
    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    history: list[dict[str, float]] = field(default_factory=list)
    is_told_to_stop: bool = False
    """For a signal handler to set."""

    @classmethod
    def of_torchrun(cls, folder: Path) -> "LocalContext":
        """A worker of ``torchrun``, in its process group and on its own GPU where there is one; SIGTERM lets it save.

        ``folder`` must be one that every worker reaches: all of them go on from what rank 0 saves there.
        """
        device = torch.device("cpu")
        if torch.cuda.is_available():
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        context = cls(folder, dist.get_rank(), dist.get_world_size(), device)

        def stop(_number: int, _frame: FrameType | None) -> None:
            context.is_told_to_stop = True

        signal.signal(signal.SIGTERM, stop)
        return context

    def wish(self) -> Wish:
        """Stop when told so."""
        return Wish.STOP if self.is_told_to_stop else Wish.GO_ON

    def tell(self, figures: Mapping[str, float]) -> None:
        """Nobody looks on."""

    def report(self, metrics: Mapping[str, float], save_state: SaveState) -> None:
        """Append the metrics and keep the state."""
        self.history.append(dict(metrics))
        self._keep(save_state)

    def keep(self, step: int, save_state: SaveState) -> None:  # noqa: ARG002
        """Keep the state."""
        self._keep(save_state)

    def _keep(self, save_state: SaveState) -> None:
        if self.rank:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".state-", dir=self.folder))
        save_state(fresh)
        previous, current = self.folder / "previous", self.folder / "state"
        if current.exists():
            shutil.rmtree(previous, ignore_errors=True)
            current.rename(previous)
        fresh.rename(current)
        _sync_folder(self.folder)

    def states(self) -> Iterator[contextlib.AbstractContextManager[Path]]:
        """The kept state, then the one before it."""
        for path in (self.folder / "state", self.folder / "previous"):
            if path.exists():
                yield contextlib.nullcontext(path)


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
