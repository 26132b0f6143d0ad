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
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 0.2


def read_photograph(uri: str) -> bytes:
    """The bytes of a file.

    Raises:
        UnreadableImageError: With reason ``missing``, ``not_a_file``, ``permission``, or ``unreadable`` where the file
            system still fails at the third attempt.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return storage.read_bytes(uri)
        except (FileNotFoundError, NotADirectoryError):
            raise UnreadableImageError("missing", f"no file {uri}") from None
        except PermissionError:
            raise UnreadableImageError("permission", f"may not read {uri}") from None
        except ValueError as error:  # pyarrow's ArrowInvalid: the text is no URI
            raise UnreadableImageError("missing", _one_line(error)) from None
        except OSError as error:
            if _is_folder(uri):
                raise UnreadableImageError("not_a_file", f"{uri} is a folder") from None
            if attempt + 1 == _ATTEMPTS:
                raise UnreadableImageError("unreadable", _one_line(error)) from error
            time.sleep(_PAUSE_S * 4**attempt)
    raise AssertionError


def decoded(uris: Sequence[str], decode: Callable[[bytes], _Made]) -> Iterator[_Made | UnreadableImageError]:
    """What ``decode`` makes of each file, in order, or why it cannot be had; single-threaded but for the reading.

    The next files are read while one is decoded.
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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
