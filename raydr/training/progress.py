"""Epoch reports and workers' failures from Ray Train's controller to the driver, as they happen."""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.train import Checkpoint, UserCallback

from raydr.training.board import OnLine
from raydr.training.failures import final, reasons

OnEpoch = Callable[[Mapping[str, float]], None]


class ProgressLog(UserCallback):
    """Appends rank 0's metrics to a file; the controller runs beside the driver, on the same machine."""

    def __init__(self, path: str) -> None:
        self._path = path

    def after_report(
        self,
        run_context: Any,  # noqa: ARG002  # Ray's signature
        metrics: list[dict[str, Any]],
        checkpoint: Checkpoint | None,  # noqa: ARG002
    ) -> None:
        """Append one line an epoch; a state saved in the middle of one is no news."""
        if "epoch" in metrics[0]:
            self._append(metrics[0])

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:  # noqa: ARG002
        """Append one line for all workers; raises, which ends the training, where they would fail again."""
        if (error := final(worker_exceptions)) is not None:
            raise error
        self._append({"line": reasons(worker_exceptions)})

    def _append(self, row: Mapping[str, Any]) -> None:
        with Path(self._path).open("a") as file:
            file.write(json.dumps(row) + "\n")


class ProgressWatch:
    """Follows a progress file in a thread and hands on epochs and failures, up to the last one at exit."""

    def __init__(self, path: Path, *, on_epoch: OnEpoch, on_line: OnLine, interval_s: float = 0.5) -> None:
        self._path, self._on_epoch, self._on_line, self._interval_s = path, on_epoch, on_line, interval_s
        self._position = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "ProgressWatch":
        """Start following."""
        self._path.touch()
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Read what is left and stop."""
        self._done.set()
        self._thread.join()
        self._read()

    def _follow(self) -> None:
        while not self._done.wait(self._interval_s):
            self._read()

    def _read(self) -> None:
        with self._path.open() as file:
            file.seek(self._position)
            while (line := file.readline()).endswith("\n"):  # a line without its end is still being written
                self._position = file.tell()
                row = json.loads(line)
                if "line" in row:
                    self._on_line(row["line"])
                else:
                    self._on_epoch(row)
