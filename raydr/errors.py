"""What raydr raises for a person to read: bad input (exit 2) and failed runs (exit 1)."""

import signal
from collections.abc import Sequence


class InputError(Exception):
    """Input that cannot be used, as one line: which file, where in it, what is wrong, what is allowed."""


class SettingsError(InputError):
    """Settings that cannot be used; its lines are `file: key: what is wrong, what is allowed`."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)

    def __reduce__(self) -> tuple[type["SettingsError"], tuple[tuple[str, ...]]]:
        """The lines, so that the error survives the way from another process."""
        return type(self), (self.lines,)


class RunError(Exception):
    """A run that failed though its input was good, as one line that says what to do."""


class StoppedRun(KeyboardInterrupt):
    """A run that ended because a signal asked for it, as one line that says what is saved; exit 128 + the signal's."""

    def __init__(self, line: str, number: signal.Signals) -> None:
        super().__init__(line)
        self.number = number
