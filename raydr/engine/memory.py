"""What a process does with the memory that tensors free."""

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_MOST_BYTES: Final = 2**30


def keep_freed_memory() -> bool:
    """Whether the C library will keep what is freed for the next one who asks, which only glibc can be told.

    A training step on a CPU frees and wants the same hundreds of megabytes over and over. Left to itself, glibc gives
    large pieces back to the kernel at once and gets them back page by page: a tenth to a fifth of the step.
    It holds for the whole process, whose memory stays at its peak.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    # One without the other is worse than neither: pieces below a threshold that is fixed now would be trimmed, or be
    # mapped anew, each time.
    return bool(mallopt(_MMAP_THRESHOLD, _MOST_BYTES)) and bool(mallopt(_TRIM_THRESHOLD, 2 * _MOST_BYTES - 1))
