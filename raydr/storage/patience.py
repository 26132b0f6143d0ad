"""Object stores fail in passing: what is tried again, for how long, and what is said in the end."""

import errno
import logging
import random
import re
import time
from collections.abc import Callable
from typing import Final, TypeVar

from raydr.storage.uris import is_local

_LOG: Final = logging.getLogger(__name__)
_Result = TypeVar("_Result")

PATIENCE_S: Final = 120.0
"""How long an action is tried again; where a store accepts and is mute, the last attempt may end 35 s later."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 10.0

# Codes of the AWS SDK (its names of S3's own), HTTP statuses, and the codes of google-cloud-cpp.
_PASSING: Final = re.compile(
    r"NETWORK_CONNECTION|SLOW_DOWN|THROTTL|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIMEOUT"
    r"|HTTP status (5\d\d|408|429)|Status\((UNAVAILABLE|DEADLINE_EXCEEDED|INTERNAL|RESOURCE_EXHAUSTED|ABORTED):"
)
_DENIED: Final = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY_ID|INVALID_CLIENT_TOKEN_ID|SIGNATURE_DOES_NOT_MATCH|INVALID_SIGNATURE"
    r"|MISSING_AUTHENTICATION_TOKEN|INCOMPLETE_SIGNATURE|EXPIRED_?TOKEN|UNRECOGNIZED_CLIENT|OPT_IN_REQUIRED"
    r"|HTTP status 40[13]|Status\((PERMISSION_DENIED|UNAUTHENTICATED):",
    re.IGNORECASE,
)
_NO_BUCKET: Final = re.compile(r"NO_SUCH_BUCKET|[Bb]ucket '[^']*' not found|bucket does not exist")
_NO_FILE: Final = re.compile(r"NO_SUCH_KEY|RESOURCE_NOT_FOUND|Status\(NOT_FOUND:")
_REQUEST_ID: Final = re.compile(r" ?\(Request ID: [^)]*\)")


class StoreError(OSError):
    """What an object store refused; ``filename`` is the URI, ``strerror`` the cause, the text both in one line."""

    def __str__(self) -> str:
        """`URI: cause`."""
        return f"{self.filename}: {self.strerror}"

    def __reduce__(self) -> tuple[type["StoreError"], tuple[int | None, str | None, str]]:
        """What it is made of, without the advice that Ray Data adds to an error's arguments in a worker."""
        return type(self), (self.errno, self.strerror, self.filename)


class MissingError(StoreError, FileNotFoundError):
    """No such file, folder or bucket."""


class DeniedError(StoreError, PermissionError):
    """Credentials that are wrong, or that do not allow it."""


class UnavailableError(StoreError, ConnectionError):
    """A store that did not answer, or only with failures that pass, for all of the patience."""


def cause_of(error: Exception) -> str:
    """What went wrong, in one line; of an object store's error without the URI, which its callers name."""
    text = error.strerror if isinstance(error, StoreError) else str(error)
    return " ".join(str(text).split())


def patiently(uri: str, action: Callable[[], _Result], *, patience_s: float | None = None) -> _Result:
    """What ``action``, which may be run many times, makes of a file in an object store; local files get one attempt.

    A failure that passes (refused or reset connections, timeouts, 5xx, throttling) is followed by another attempt after
    a random pause of up to 0.5 s, 1 s, 2 s … 10 s, until ``patience_s`` (else `PATIENCE_S`) are over. Within an attempt
    the AWS SDK repeats each request twice (`systems`): some 2 s where connections are refused, 35 s where they hang.

    Raises:
        MissingError: No such file, folder or bucket.
        DeniedError: Wrong credentials or no permission.
        UnavailableError: It still fails when the patience is over.
        StoreError: Anything else that the store says; this and the two first at once.
    """
    if is_local(uri):
        return action()
    limit_s = PATIENCE_S if patience_s is None else patience_s
    started, pause_s = time.monotonic(), _FIRST_PAUSE_S
    while True:
        try:
            return action()
        except OSError as error:
            told = _told(error, uri)
            waited_s = time.monotonic() - started
            if not isinstance(told, UnavailableError) or waited_s + pause_s > limit_s:
                raise told from error
            if pause_s == _FIRST_PAUSE_S:
                _LOG.warning("%s: %s; trying again for up to %.0f s", uri, told.strerror, limit_s)
        time.sleep(random.uniform(0, pause_s))  # noqa: S311  # no secret: tasks that failed together must not come back so
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _told(error: OSError, uri: str) -> StoreError:
    """The error in the words of raydr."""
    if isinstance(error, StoreError):
        return error
    text = _REQUEST_ID.sub("", " ".join(str(error).split()))
    detail = text.partition("AWS Error ")[2] or text
    if _NO_BUCKET.search(text):
        return MissingError(errno.ENOENT, "no such bucket", uri)
    if isinstance(error, FileNotFoundError) or _NO_FILE.search(text):
        return MissingError(errno.ENOENT, "no such file or folder", uri)
    if isinstance(error, ConnectionError | TimeoutError) or _PASSING.search(text):
        return UnavailableError(errno.EAGAIN, f"the store does not answer ({detail})", uri)
    if isinstance(error, PermissionError) or _DENIED.search(text):
        return DeniedError(errno.EACCES, f"the store refuses access ({detail}); check credentials and permissions", uri)
    return StoreError(errno.EIO, detail, uri)
