"""Ray Train's implementation of the engine's Context."""

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import ray.train
import ray.train.collective
import ray.train.torch
import torch

from raydr.engine.context import SaveState
from raydr.engine.machine import machine_figures
from raydr.engine.wish import Wish
from raydr.training.board import Board, Listener
from raydr.training.drain import DrainWatch
from raydr.training.gauges import TRAINING_GAUGES, Gauges
from raydr.training.states import NUM_RESUMABLE, SavedStates

_LOG: Final = logging.getLogger(__name__)
_SLOT_PATIENCE_S: Final = 600.0
"""For the state before to be written; longer than writing is tried."""


class Once:
    """Calls a function at its first call only."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._left = [function]

    def __call__(self) -> None:
        """Call it if it has not been."""
        if self._left:
            self._left.pop()()


class RayContext:
    """One Ray Train worker's rank, device, reports and resumption.

    States are written and uploaded in a thread of rank 0 while the training goes on. A new state waits for the one
    before it, so that no more than two are in memory.
    """

    def __init__(self, board: Board | None = None) -> None:
        self._board = board
        self._listener = Listener(board) if board is not None and self.rank == 0 else None
        self._drain = DrainWatch()
        self._gauges = Gauges(TRAINING_GAUGES, ray.train.get_context().get_experiment_name())
        storage = ray.train.get_context().get_storage()
        self._states = SavedStates(storage.storage_filesystem, storage.experiment_fs_path)
        self._slot = threading.Semaphore()
        # An attempt that goes on from an older state comes by the same steps again; Ray Train deletes by name.
        self._attempt = uuid.uuid4().hex[:8]

    @property
    def rank(self) -> int:
        """This worker's number."""
        return int(ray.train.get_context().get_world_rank())

    @property
    def world_size(self) -> int:
        """Number of workers."""
        return int(ray.train.get_context().get_world_size())

    @property
    def device(self) -> torch.device:
        """The device that Ray gave this worker."""
        return ray.train.torch.get_device()

    def wish(self) -> Wish:
        """The driver's, as rank 0 last heard; Ray's news of a node that is to go is a reason to save."""
        told = Wish.GO_ON if self._listener is None else self._listener.wish
        return max(told, Wish.SAVE) if self._drain.is_new() else told

    def tell(self, figures: Mapping[str, float]) -> None:
        """Put them on the board, with how busy this machine is, and show them to Prometheus."""
        self._gauges.show(figures)
        if self._board is not None:
            self._board.put_figures({**figures, **machine_figures(self.device)})

    def report(self, metrics: Mapping[str, float], save_state: SaveState) -> None:
        """Hand the metrics to the controller, rank 0's with a checkpoint; a barrier, but not for the upload."""
        self._hand_in(dict(metrics), f"epoch_{int(metrics['epoch']):05d}", save_state)

    def keep(self, step: int, save_state: SaveState) -> None:
        """Hand rank 0's checkpoint to the controller; a barrier, but not for the upload."""
        self._hand_in({"step": step}, f"step_{step:08d}", save_state)

    def states(self) -> Iterator[contextlib.AbstractContextManager[Path]]:
        """The run's newest states; all workers get the same ones."""
        own = self._states.names()[:NUM_RESUMABLE] if self.rank == 0 else []
        names: list[str] = ray.train.collective.broadcast_from_rank_zero(own)
        for number, name in enumerate(names):
            if number and self.rank == 0:
                self._say(f"{names[number - 1]}: the state is torn or was tampered with; the one before it is tried")
            yield self._states.open(name)

    def _hand_in(self, metrics: dict[str, Any], name: str, save_state: SaveState) -> None:
        unique = f"{name}_{self._attempt}"
        if self.rank:
            ray.train.report(
                metrics,
                checkpoint_dir_name=unique,
                checkpoint_upload_mode=ray.train.CheckpointUploadMode.ASYNC,
            )
            return
        if not self._slot.acquire(timeout=_SLOT_PATIENCE_S):
            self._say(f"{name}: the state before it is still being written after {_SLOT_PATIENCE_S:g} s")
        release = Once(self._slot.release)  # Ray calls again what a store has refused

        def write(checkpoint: ray.train.Checkpoint, _name: str) -> ray.train.Checkpoint:
            try:
                self._states.write(unique, save_state)
            finally:
                release()
            return checkpoint

        ray.train.report(
            metrics,
            checkpoint=ray.train.Checkpoint(self._states.path(unique), filesystem=self._states.system),
            checkpoint_dir_name=unique,
            checkpoint_upload_mode=ray.train.CheckpointUploadMode.ASYNC,
            delete_local_checkpoint_after_upload=False,
            checkpoint_upload_fn=write,
        )

    def _say(self, line: str) -> None:
        _LOG.warning("%s", line)
        if self._board is not None:
            self._board.put_line(line)
