"""A training's figures of the moment: one line that is rewritten on a terminal, a line now and then in a log."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from raydr.workflows import console
from raydr.workflows.console import duration, say

_LOG_EVERY_S: Final = 10.0
_CLEAR: Final = "\r\x1b[K"


class LiveLine:
    """Where a training is, for whoever looks on; other lines of the same training go through it too.

    Args:
        verb: What is under way.
        epochs: How many it will take.
        record: Called with figures and the number of steps done every ten seconds.
        is_terminal: Whether the line can be rewritten; None looks at the standard output.
        now: A clock, in seconds.
    """

    def __init__(
        self,
        verb: str,
        *,
        epochs: int,
        record: Callable[[Mapping[str, float], int], None],
        is_terminal: bool | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verb, self._epochs, self._record, self._now = verb, epochs, record, now
        self._is_terminal = console.is_terminal() if is_terminal is None else is_terminal
        self._logged_at = now()
        self._lock = threading.Lock()

    def show(self, figures: Mapping[str, float]) -> None:
        """Show the figures, and record them when it is time."""
        is_due = self._now() - self._logged_at >= _LOG_EVERY_S
        text = live_text(self._verb, figures, epochs=self._epochs)
        with self._lock:
            if self._is_terminal:
                width = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be rewritten
                sys.stdout.write(_CLEAR + text[:width])
                sys.stdout.flush()
            elif is_due:
                say(text, verb=self._verb, figures=figures)
        if is_due:
            self._logged_at = self._now()
            named = {f"live/{name}": figures[name] for name in ("loss", "images_per_s", "data_wait") if name in figures}
            named |= {name: value for name, value in figures.items() if name.startswith("system/")}
            self._record(named, int(figures["epoch"] * figures["steps_per_epoch"] + figures["step"]))

    def say(self, text: str, **facts: Any) -> None:
        """Print a line that stays."""
        with self._lock:
            say((_CLEAR if self._is_terminal else "") + text, **facts)

    def close(self) -> None:
        """Leave the terminal's line empty."""
        if self._is_terminal:
            with self._lock:
                sys.stdout.write(_CLEAR)
                sys.stdout.flush()


def live_text(verb: str, figures: Mapping[str, float], *, epochs: int) -> str:
    """Rank 0's figures as one line."""
    return (
        f"  {verb} epoch {int(figures['epoch']) + 1}/{epochs} "
        f"step {int(figures['step'])}/{int(figures['steps_per_epoch'])}  loss {figures['loss']:.4g}  "
        f"{figures['images_per_s']:.0f} images/s  data wait {100 * figures['data_wait']:.0f} %  "
        f"{duration(figures['eta_s'])} left"
    )
