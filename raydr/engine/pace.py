"""How fast a training goes, how long it waits for images, and when it will be done."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from raydr.engine.batch import Batch


@dataclass(slots=True)
class Pace:
    """Measures stretches of a training: every epoch, and every second or so within it."""

    world_size: int
    _started: float = field(default_factory=time.perf_counter)
    _waited_s: float = 0.0
    _images: int = 0
    _steps: int = 0

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; counts them, their images and the time until each one came."""
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self._waited_s += time.perf_counter() - asked
            if batch is None:
                return
            self._images += len(batch.row) * self.world_size
            self._steps += 1
            yield batch

    def restart(self) -> None:
        """Begin another stretch."""
        self._started, self._waited_s, self._images, self._steps = time.perf_counter(), 0.0, 0, 0

    @property
    def seconds(self) -> float:
        """Since the stretch began."""
        return time.perf_counter() - self._started

    def figures(self) -> dict[str, float]:
        """Images a second over all workers, and the share of the time that this worker waited for images."""
        seconds = max(self.seconds, 1e-9)
        return {"images_per_s": self._images / seconds, "data_wait": min(1.0, self._waited_s / seconds)}

    def seconds_for(self, num_steps: int) -> float:
        """How long so many steps will take at this pace."""
        return num_steps * self.seconds / max(self._steps, 1)
