"""The seam to whatever runs a training: rank, device, reports and resumption."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

SaveState = Callable[[Path], None]
"""Writes the training's state into a folder."""


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

    def report(self, metrics: Mapping[str, float], save_state: SaveState) -> None:
        """Hand in an epoch's metrics; every rank must call it, and rank 0's state is saved where states are kept."""

    def resume(self) -> contextlib.AbstractContextManager[Path | None]:
        """The newest reported state as a local folder while the context is open, None at a fresh start."""


@dataclass(slots=True)
class LocalContext:
    """A single process, or a worker of ``torchrun``: keeps the newest state in a folder of its own."""

    folder: Path
    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    history: list[dict[str, float]] = field(default_factory=list)

    def report(self, metrics: Mapping[str, float], save_state: SaveState) -> None:
        """Append the metrics and replace the kept state in one rename."""
        self.history.append(dict(metrics))
        if self.rank:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".state-", dir=self.folder))
        save_state(fresh)
        previous, current = self.folder / "previous", self.folder / "state"
        shutil.rmtree(previous, ignore_errors=True)
        if current.exists():
            current.rename(previous)
        fresh.rename(current)
        shutil.rmtree(previous, ignore_errors=True)

    @contextlib.contextmanager
    def resume(self) -> Iterator[Path | None]:
        """The kept state; the one before it where a crash fell between the two renames."""
        found = [path for path in (self.folder / "state", self.folder / "previous") if path.exists()]
        yield found[0] if found else None
