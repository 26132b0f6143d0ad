"""The trials of a search as they go: a table that is rewritten on a terminal, a line an epoch in a log."""

import math
import shutil
import sys
from collections.abc import Mapping
from typing import Any

from raydr.learning.validation import VALIDATION_AUC
from raydr.search.records import TrialRecord
from raydr.workflows import console
from raydr.workflows.console import say


class TrialTable:
    """Where the trials are, for whoever looks on.

    Args:
        trials: How many there will be.
        epochs: Of the longest trial.
        is_terminal: Whether lines can be rewritten; None looks at the standard output.
    """

    def __init__(self, trials: int, *, epochs: int, is_terminal: bool | None = None) -> None:
        self._trials, self._epochs = trials, epochs
        self._is_terminal = console.is_terminal() if is_terminal is None else is_terminal
        self._rows: dict[int, str] = {}
        self._best: tuple[float, int] | None = None
        self._num_done = self._num_failed = self._num_shown = 0

    def begin(self, records: Mapping[int, TrialRecord]) -> None:
        """Take in what earlier attempts have done."""
        for record in records.values():
            self._count(record)
        if self._num_done + self._num_failed:
            say(f"  the search goes on: {self.summary()}")

    def epoch(self, number: int, sample: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Show one epoch of one trial."""
        value = metrics[VALIDATION_AUC]
        self._take_best(value, number)
        text = f"epoch {int(metrics['epoch']) + 1}/{self._epochs}  validation AUC {value:.4f}  {sample_text(sample)}"
        self._rows[number] = f"  trial {number + 1} {text}"
        if self._is_terminal:
            self._show()
        else:
            say(self._rows[number], trial=number + 1, sample=sample, epoch=metrics)

    def ended(self, record: TrialRecord) -> None:
        """Show that a trial is done or has failed."""
        self._count(record)
        self._rows.pop(record.number, None)
        if record.status == "failed":
            self._wipe()
            say(f"  trial {record.number + 1} failed: {record.error}")
        if self._is_terminal:
            self._show()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._wipe()

    def summary(self) -> str:
        """How many trials are done, how many there are, and the best."""
        failed = f", {self._num_failed} failed" if self._num_failed else ""
        best = f", best validation AUC {self._best[0]:.4f} (trial {self._best[1] + 1})" if self._best else ""
        return f"{self._num_done} of {self._trials} trials done{failed}{best}"

    def _count(self, record: TrialRecord) -> None:
        self._num_done += record.status == "done"
        self._num_failed += record.status == "failed"
        self._take_best(record.best_auc, record.number)

    def _take_best(self, value: float, number: int) -> None:
        if math.isfinite(value) and (self._best is None or value > self._best[0]):
            self._best = (value, number)

    def _show(self) -> None:
        self._wipe()
        size = shutil.get_terminal_size()
        rows = [self._rows[number] for number in sorted(self._rows)]
        room = max(size.lines - 3, 1)
        lines = [f"  {self.summary()}, {len(rows)} running", *rows[:room]]
        if len(rows) > room:
            lines[-1] = f"  ... {len(rows) - room + 1} more"
        # A line that wraps, or a table higher than the terminal, cannot be rewritten.
        sys.stdout.write("".join(line[: size.columns - 1] + "\n" for line in lines))
        sys.stdout.flush()
        self._num_shown = len(lines)

    def _wipe(self) -> None:
        if self._num_shown:
            sys.stdout.write(f"\x1b[{self._num_shown}A\x1b[J")
            sys.stdout.flush()
        self._num_shown = 0


def sample_text(sample: Mapping[str, Any]) -> str:
    """Sampled settings as a person reads them."""
    return ", ".join(
        f"{key.rpartition('.')[2]} {value:.3g}" if isinstance(value, float) else f"{key.rpartition('.')[2]} {value}"
        for key, value in sample.items()
    )
