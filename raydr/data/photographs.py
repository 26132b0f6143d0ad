"""Photographs by URI: read and decoded one by one, so that a bad file costs no other."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import cv2

from raydr import storage
from raydr.images.jpeg import UnreadableImageError

_Made = TypeVar("_Made")
_NUM_READERS: Final = 8  # files read at once: an object store answers each in tens of milliseconds
_ATTEMPTS: Final = 3  # at a file of a disk; what comes out of `storage` for an object store was tried for minutes
_PAUSE_S: Final = 0.2
PASSING_REASONS: Final = ("missing", "permission", "unavailable")
"""Reasons that say nothing of the photograph itself: it is worth another look in every run."""


def read_photograph(uri: str) -> bytes:
    """The bytes of a file.

    Raises:
        UnreadableImageError: With reason ``missing``, ``not_a_file``, ``permission``, ``unreadable`` where a disk still
            fails at the third attempt, or ``unavailable`` where an object store answers for its bucket, but for
            `storage`'s whole patience not for this object: that says nothing of the photograph, and it should be read
            again in another run.
        UnavailableError: The object store as a whole does not answer: no photograph is to blame.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return storage.read_bytes(uri)
        except storage.UnavailableError as error:
            if not storage.store_answers(uri):
                raise
            raise UnreadableImageError("unavailable", storage.cause_of(error)) from error
        except (OSError, ValueError) as error:
            reason, message = _reason(error, uri)
            is_settled = reason != "unreadable" or isinstance(error, storage.StoreError)
            if is_settled or attempt + 1 == _ATTEMPTS:
                raise UnreadableImageError(reason, message) from error
            time.sleep(_PAUSE_S * 4**attempt)
    raise AssertionError


def _reason(error: OSError | ValueError, uri: str) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "missing", f"no file {uri}"
    if isinstance(error, ValueError):  # pyarrow's ArrowInvalid: the text is no URI
        return "missing", storage.cause_of(error)
    if isinstance(error, PermissionError):
        return "permission", f"may not read {uri}"
    if not isinstance(error, storage.StoreError) and _is_folder(uri):
        return "not_a_file", f"{uri} is a folder"
    return "unreadable", storage.cause_of(error)


def decoded(uris: Sequence[str], decode: Callable[[bytes], _Made]) -> Iterator[_Made | UnreadableImageError]:
    """What ``decode`` makes of each file, in order, or why it cannot be had; single-threaded but for the reading.

    The next files are read while one is decoded.

    Raises:
        UnavailableError: The object store as a whole does not answer.
    """
    cv2.setNumThreads(1)  # the tasks beside this one use the other CPUs
    with ThreadPoolExecutor(_NUM_READERS) as readers:
        ahead = deque(readers.submit(_read, uri) for uri in uris[:_NUM_READERS])
        for number in range(len(uris)):
            content = ahead.popleft().result()
            if number + _NUM_READERS < len(uris):
                ahead.append(readers.submit(_read, uris[number + _NUM_READERS]))
            yield content if isinstance(content, UnreadableImageError) else _decode(content, decode)


def _read(uri: str) -> bytes | UnreadableImageError:
    try:
        return read_photograph(uri)
    except UnreadableImageError as error:
        return error


def _decode(content: bytes, decode: Callable[[bytes], _Made]) -> _Made | UnreadableImageError:
    try:
        return decode(content)
    except UnreadableImageError as error:
        return error


def _is_folder(uri: str) -> bool:
    try:
        return storage.is_folder(uri)
    except OSError:
        return False
