"""Ray Train's runs of one training: in a thread beside the one that signals reach, and anew when storage failed it."""

import threading
import time
from collections.abc import Callable
from typing import Final

from ray.train import ControllerError
from ray.train.v2.api.exceptions import TrainingFailedError

from raydr.engine.wish import Wish
from raydr.training.board import Board, OnLine
from raydr.training.failures import told
from raydr.training.states import SavedStates
from raydr.training.stopping import StopSignals

_LOOK_EVERY_S: Final = 0.2
_STORE_PATIENCE_S: Final = 600.0
_ASK_STORE_EVERY_S: Final = 2.0


class Fit:
    """A training in a thread: the main one is free for signals, which Ray would answer in its own way.

    Args:
        attempt: Trains, from the newest state on, to the end.
        again: Says of what an attempt raised whether another one is worth making.
    """

    def __init__(self, attempt: Callable[[], None], *, again: Callable[[BaseException], bool]) -> None:
        self.error: BaseException | None = None
        """What the last attempt raised, Ray Train's own in words for a person."""
        self._attempt, self._again = attempt, again
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="raydr-fit", daemon=True)
        self._thread.start()

    def wait(self, signals: StopSignals, board: Board, *, grace_s: float, on_line: OnLine) -> None:
        """Wait until it is over; after a signal no longer than the grace."""
        while self._thread.is_alive() and signals.received is None:
            self._thread.join(_LOOK_EVERY_S)
        if signals.received is None:
            return
        self._is_stopped = True
        on_line(f"{signals.received.name}: saving, for up to {grace_s:g} s; once more ends at once")
        board.ask_for(Wish.STOP)
        self._thread.join(grace_s)

    def shortfall(self, grace_s: float) -> str:
        """What went wrong after a signal, to be read before what is saved; empty where nothing did."""
        if self._thread.is_alive():
            return f"it did not end within {grace_s:g} s; "
        if self.error is None:
            return ""
        lines = str(self.error).splitlines() or [type(self.error).__name__]
        return f"it failed meanwhile ({lines[0]}); "

    def _run(self) -> None:
        while True:
            try:
                self._attempt()
            except BaseException as error:  # noqa: BLE001 - the main thread raises it
                self.error = told(error) if isinstance(error, TrainingFailedError) else error
                if not self._is_stopped and self._again(error):
                    continue
            else:
                self.error = None
            return


class StorePatience:
    """Waits for storage that failed Ray Train's controller, which gives up at the first write that does not succeed."""

    def __init__(self, states: SavedStates, max_failures: int, on_line: OnLine) -> None:
        self._states, self._left, self._on_line = states, max_failures, on_line

    def waits_for(self, error: BaseException) -> bool:
        """Whether it was the storage's fault and the storage answers again, within ten minutes."""
        if (
            not isinstance(error, ControllerError)
            or not isinstance(error.controller_failure, OSError)
            or not self._left
        ):
            return False
        self._left -= 1
        self._on_line(f"storage failed, waiting for it: {str(error.controller_failure).splitlines()[0]}")
        give_up = time.monotonic() + _STORE_PATIENCE_S
        while True:
            try:
                self._states.names()
            except OSError:
                if time.monotonic() > give_up:
                    return False
                time.sleep(_ASK_STORE_EVERY_S)
            else:
                return True
