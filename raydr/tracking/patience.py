"""Calls to a store that may be down, made so that a training goes on without it."""

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from raydr.tracking.store import without_credentials

_LOGGER: Final = logging.getLogger(__name__)
_RETRY_S: Final = 4.0
"""How long a failing call is tried again, in seconds."""
_PAUSE_S: Final = 60.0
"""How long nothing is tried after that: a dead server costs its time-out once a minute, not once a call."""
_PASSING: Final = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"})
"""MLflow's error codes that may pass by themselves; it gives INTERNAL_ERROR to a connection that failed."""
_MOST_WAITING: Final = 2_000
"""Records that are kept for a store that does not answer; the oldest go first."""
_MOST_TRIES: Final = 3
"""How often one of them may fail while the store answers others."""

_paused_until: dict[str, float] = {}
_waiting: dict[str, deque[tuple[Callable[[], object], int]]] = {}
"""By store: actions, and how often each has failed since."""
_reported: set[tuple[str, str]] = set()


def attempt(uri: str, what: str, action: Callable[[], object], *, insist: bool = False, may_wait: bool = True) -> bool:
    """Whether ``action`` succeeded; it never raises, and a failure is reported once.

    Where the store did not answer, the action is done as soon as another one finds that it does.

    Args:
        uri: The store; one that did not answer is left alone for a minute.
        what: What is recorded, for the warning.
        action: The calls to make.
        insist: Try even a store that did not answer a moment ago, once.
        may_wait: Whether the action is of use later.
    """
    is_paused = time.monotonic() < _paused_until.get(uri, 0.0)
    if is_paused and not insist:
        _keep(uri, action, may_wait=may_wait)
        return False
    give_up = time.monotonic() + (0.0 if is_paused else _RETRY_S)
    pause_s = 0.25
    while True:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever a store does, hours of training are worth more than its record
            passes = may_pass(error)
            if passes and time.monotonic() + pause_s < give_up:
                time.sleep(pause_s)
                pause_s *= 2
                continue
            if passes:
                _paused_until[uri] = time.monotonic() + _PAUSE_S
                _keep(uri, action, may_wait=may_wait)
            _report(uri, what, error)
            return False
        answered(uri)
        return True


def answered(uri: str) -> None:
    """The store answers: what has waited for it is done, and the next outage is reported again."""
    if _paused_until.pop(uri, None) is not None:
        _reported.difference_update({entry for entry in _reported if entry[0] == uri})
    waiting = _waiting.pop(uri, deque())
    while waiting:
        action, tries = waiting.popleft()
        try:
            action()
        except Exception as error:  # noqa: BLE001 - as above
            if may_pass(error) and tries + 1 < _MOST_TRIES:  # it may be away again
                _waiting[uri] = deque([*waiting, (action, tries + 1), *_waiting.get(uri, ())], _MOST_WAITING)
                return
            _report(uri, "record of its outage", error)


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


def _report(uri: str, what: str, error: Exception) -> None:
    if (uri, what) not in _reported:
        _reported.add((uri, what))
        store = without_credentials(uri)
        _LOGGER.warning("MLflow (%s) did not take the %s; going on: %s", store, what, first_line(error))


def _keep(uri: str, action: Callable[[], object], *, may_wait: bool) -> None:
    if may_wait:
        _waiting.setdefault(uri, deque(maxlen=_MOST_WAITING)).append((action, 0))
