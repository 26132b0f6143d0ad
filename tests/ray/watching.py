"""Looks again and again at what a test is to stay within, beside what it does."""

import threading

import ray


class Watch:
    """Calls `look` in a thread for as long as it is open."""

    interval_s = 0.1

    def __init__(self):
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def look(self):
        raise NotImplementedError

    def _follow(self):
        while not self._stop.wait(self.interval_s):
            self.look()


def store_in_use():
    """Bytes of the object store that are in use."""
    free = ray.available_resources().get("object_store_memory", 0.0)
    return ray.cluster_resources()["object_store_memory"] - free
