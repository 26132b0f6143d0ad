"""A cell's context: its states are kept below its own folder, so that a cell that was cut off goes on."""

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from raydr import storage
from raydr.engine.context import SaveState
from raydr.training.single import SingleContext
from raydr.training.states import NUM_RESUMABLE, SavedStates

_NUM_KEPT: Final = 2
_CLOCK: Final = "clock.json"
"""In a state: the seconds that it took, all attempts and the looks at the validation patients included."""


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
        """That attempts before this one have spent on what this one goes on from."""
        self._states = SavedStates(*storage.locate(folder))
        self._began = self._saved_at = time.monotonic()
        self._save_every_s = save_every_s
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
            with (
                contextlib.suppress(OSError, ValueError, TypeError),
                self._states.system.open_input_file(self._states.path(name, _CLOCK)) as file,
            ):
                self.seconds_before = float(json.loads(file.read()))
            yield self._states.open(name)

    def _save(self, name: str, save_state: SaveState) -> None:
        seconds = self.seconds_before + time.monotonic() - self._began

        def save(folder: Path) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _CLOCK).write_text(json.dumps(seconds))
            save_state(folder)

        self._states.write(f"{name}_{self._attempt}", save)
        self._states.drop_leftovers(_NUM_KEPT)
        self._saved_at = time.monotonic()
