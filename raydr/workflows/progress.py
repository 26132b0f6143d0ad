"""A line now and then while photographs are worked on; none where the work is short."""

import time
from typing import Final

from raydr.data.part_tasks import PrepareProgress
from raydr.workflows.console import duration, say

_EVERY_S: Final = 10.0


class ProgressLine:
    """Says how many ``things`` are done, how fast, how long the rest takes; first after ten seconds."""

    def __init__(self, things: str) -> None:
        self._things = things
        self._started = self._said = time.monotonic()

    def __call__(self, progress: PrepareProgress) -> None:
        """Say a line if the last one is ten seconds old and there is more to come."""
        now = time.monotonic()
        if now - self._said < _EVERY_S or not 0 < progress.num_done < progress.num_images:
            return
        self._said = now
        rate = progress.num_done / (now - self._started)
        left = duration((progress.num_images - progress.num_done) / rate)
        say(
            f"  {progress.num_done} of {progress.num_images} {self._things}, {rate:.3g}/s, {left} left, "
            f"{progress.num_bad} in quarantine"
        )
