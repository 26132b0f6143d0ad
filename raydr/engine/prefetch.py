"""Batches made ready in a thread while a GPU works on those before."""

import queue
import threading
from collections.abc import Iterator
from typing import Final

from raydr.engine.batch import Batch

_DEPTH: Final = 2
_LOOK_EVERY_S: Final = 0.2


def prefetched(batches: Iterator[Batch], *, pin: bool) -> Iterator[Batch]:
    """The same batches, up to two ahead; an error comes where its batch would have come.

    Args:
        batches: Asked in another thread, to the end or until this iterator is closed.
        pin: Whether to lay them in page-locked memory, from where a GPU takes them without the program's waiting.
    """
    ahead = _Ahead()
    threading.Thread(target=ahead.fill, args=(batches, pin), name="raydr-prefetch", daemon=True).start()
    try:
        while (item := ahead.ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        ahead.is_left.set()


class _Ahead:
    """What lies between the thread that makes batches and the one that takes them."""

    def __init__(self) -> None:
        self.ready: queue.Queue[Batch | BaseException | None] = queue.Queue(maxsize=_DEPTH)
        self.is_left = threading.Event()

    def fill(self, batches: Iterator[Batch], pin: bool) -> None:  # noqa: FBT001
        """Put in all batches, then None; an error instead of the batch that it cost."""
        try:
            for batch in batches:
                if not self._put(batch.pinned() if pin else batch):
                    return
        except BaseException as error:  # noqa: BLE001 - raised where the batch is waited for
            self._put(error)
        else:
            self._put(None)

    def _put(self, item: Batch | BaseException | None) -> bool:
        """Wait for room; False where nobody takes any more."""
        while not self.is_left.is_set():
            try:
                self.ready.put(item, timeout=_LOOK_EVERY_S)
            except queue.Full:
                continue
            return True
        return False
