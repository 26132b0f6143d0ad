"""A cell's context: its states are kept below its own folder, so that a cell that was cut off goes on."""

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from raydr import storage
from raydr.engine.context import SaveState
from raydr.training.single import SingleContext
from raydr.training.states import NUM_RESUMABLE, SavedStates

_NUM_KEPT = 2


class CellContext(SingleContext):
    """A training in one task of Ray, as the engine's Context.

    An epoch's end is saved where the last state is some seconds old: with few labels an epoch takes less time than its
    state.

    Args:
        folder: For the states of this training and no other.
        save_every_s: Seconds between states at the ends of epochs.
    """

    def __init__(self, folder: str, *, save_every_s: float) -> None:
        self.seconds_before = 0.0
        """That attempts before this one have trained, of what this one goes on from."""
        self._states = SavedStates(*storage.locate(folder))
        self._save_every_s, self._saved_at = save_every_s, time.monotonic()
        self._attempt = uuid.uuid4().hex[:8]

    def report(self, metrics: Mapping[str, float], save_state: SaveState) -> None:
        """Save the state, unless that was done just now."""
        if time.monotonic() - self._saved_at >= self._save_every_s:
            self._save(f"epoch_{int(metrics['epoch']):05d}", save_state)

    def keep(self, step: int, save_state: SaveState) -> None:
        """Save the state."""
        self._save(f"step_{step:08d}", save_state)

    def states(self) -> Iterator[contextlib.AbstractContextManager[Path]]:
        """The states that attempts before this one have left."""
        for name in self._states.names()[:NUM_RESUMABLE]:
            with contextlib.suppress(OSError, ValueError, KeyError):
                history = self._states.describe(name)["history"]
                self.seconds_before = sum(row["seconds"] for row in history)
            yield self._states.open(name)

    def _save(self, name: str, save_state: SaveState) -> None:
        self._states.write(f"{name}_{self._attempt}", save_state)
        self._states.drop_leftovers(_NUM_KEPT)
        self._saved_at = time.monotonic()
