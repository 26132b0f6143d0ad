"""Calls to a store that may be down, made in their order, so that a training goes on without it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from raydr.tracking.store import open_client, without_credentials

_LOGGER: Final = logging.getLogger(__name__)
_RETRY_S: Final = 4.0
"""How long a failing call is tried again, in seconds."""
_PAUSE_S: Final = 60.0
"""How long nothing is tried after that: a dead server costs its time-out once a minute, not once a call."""
_PASSING: Final = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"})
"""MLflow's error codes that may pass by themselves; it gives INTERNAL_ERROR to a connection that failed."""
_MOST_WAITING: Final = 2_000
"""Records that are kept for a store that does not answer; the oldest go first."""
_FEWEST_TRIES: Final = 3
"""How often a record fails, at least, before it is given up though the store answers."""

_Answer = TypeVar("_Answer")


class _Store:
    """What is known of one store, and what waits for it."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.lock = threading.Lock()
        """Held while something is recorded: what another thread has to record comes after it."""
        self.num_lost = 0
        self._waiting: deque[tuple[str, Callable[[], object]]] = deque()
        self._paused_until = 0.0
        self._reported: set[str] = set()

    @property
    def is_paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def keep(self, what: str, action: Callable[[], object]) -> None:
        if len(self._waiting) == _MOST_WAITING:
            self._waiting.popleft()
            self.num_lost += 1
        self._waiting.append((what, action))

    def catch_up(self, *, patience_s: float) -> Exception | None:
        """Do what waits, the oldest first; the store's failure where it does not answer and all must wait on."""
        give_up = time.monotonic() + patience_s
        while self._waiting:
            what, action = self._waiting[0]
            error, must_wait = self._do(action, give_up)
            if error is None:
                self.has_answered()
            elif must_wait:
                self._paused_until = time.monotonic() + _PAUSE_S
                self._report("", f"did not take the {what}, which will be recorded when it answers", error)
                return error
            else:
                self.num_lost += 1
                self._report(what, f"did not take the {what}", error)
            self._waiting.popleft()  # not before: what interrupts the action must not lose it
        return None

    def has_answered(self) -> None:
        """The next outage is reported again."""
        if self._paused_until:
            self._paused_until = 0.0
            self._reported.clear()

    def forget(self) -> int:
        """How many records it never took, those included that would wait on."""
        lost = self.num_lost + len(self._waiting)
        self._waiting.clear()
        self.num_lost = 0
        return lost

    def _do(self, action: Callable[[], object], give_up: float) -> tuple[Exception | None, bool]:
        """What it failed with, if it did, and whether that is as the store does not answer."""
        pause_s, tries = 0.25, 0
        while True:
            try:
                action()
            except Exception as error:  # noqa: BLE001 - whatever a store does, hours of training are worth more
                tries += 1
                if not may_pass(error):
                    return error, False
                if time.monotonic() + pause_s >= give_up:
                    if not answers(self.uri):
                        return error, True
                    if tries >= _FEWEST_TRIES:
                        return error, False
                time.sleep(pause_s)
                pause_s *= 2
            else:
                return None, False

    def _report(self, about: str, text: str, error: Exception) -> None:
        if about not in self._reported:
            self._reported.add(about)
            _LOGGER.warning("MLflow (%s) %s; going on: %s", without_credentials(self.uri), text, first_line(error))


_stores: dict[str, _Store] = {}


def attempt(uri: str, what: str, action: Callable[[], object], *, insist: bool = False) -> None:
    """Do ``action``, after all that has waited longer; it never raises, and a failure is reported once.

    Where the store does not answer, the action waits in this process until another one finds that it does.

    Args:
        uri: The store; one that did not answer is left alone for a minute.
        what: What is recorded, for the warning.
        action: The calls to make.
        insist: Try even a store that did not answer a moment ago, once.
    """
    store = _store(uri)
    with store.lock:
        store.keep(what, action)
        if insist or not store.is_paused:
            store.catch_up(patience_s=0.0 if store.is_paused else _RETRY_S)


def ask(uri: str, question: Callable[[], _Answer]) -> _Answer:
    """The answer of a store that has been told all that has waited for it.

    Raises what ``question`` raises, or the store's failure where something has to wait on.
    """
    store = _store(uri)
    with store.lock:
        if (error := store.catch_up(patience_s=0.0)) is not None:
            raise error
        answer = question()
        store.has_answered()
        return answer


def forget(uri: str) -> int:
    """How many records a store never took, those that still wait included; they are forgotten."""
    store = _store(uri)
    with store.lock:
        return store.forget()


def answers(uri: str) -> bool:
    """Whether a store answers a question; a refusal is an answer."""
    try:
        open_client(uri).search_experiments(max_results=1)
    except Exception as error:  # noqa: BLE001 - as above
        return not may_pass(error)
    return True


def may_pass(error: Exception) -> bool:
    """Whether the same call may succeed later: the store did not answer, rather than refuse."""
    code = getattr(error, "error_code", None)
    if isinstance(code, str):
        return code in _PASSING
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    return isinstance(error, OSError) and error.errno is None  # so are those of HTTP; one with a number is about a file


def first_line(error: BaseException) -> str:
    """What an error says in its first line, without credentials."""
    lines = str(error).strip().splitlines()
    return without_credentials(lines[0]) if lines else type(error).__name__


def _store(uri: str) -> _Store:
    return _stores.setdefault(uri, _Store(uri))
