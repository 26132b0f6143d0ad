"""Nodes that are about to be taken away, as Ray announces them."""

import time
from typing import Final

import ray.train
import ray.train.collective

_ASK_EVERY_S: Final = 5.0
_FIRST_STEPS: Final = 5


class DrainWatch:
    """Asks Ray Train every few seconds whether a node with a trainer is being drained: a spot node, a scaled-down one.

    Asking is a barrier, so all workers must ask at the same steps: rank 0's clock says after how many the next time is.
    """

    def __init__(self) -> None:
        self._left, self._interval = _FIRST_STEPS, _FIRST_STEPS
        self._asked_at = time.monotonic()
        self._known: frozenset[str] = frozenset()

    def is_new(self) -> bool:
        """Whether a node's drain has become known; to be called by every worker at every step."""
        self._left -= 1
        if self._left:
            return False
        info = ray.train.get_preemption_info()
        now = time.monotonic()
        seconds_a_step = (now - self._asked_at) / self._interval
        own = max(1, round(_ASK_EVERY_S / max(seconds_a_step, 1e-3)))
        self._interval = int(ray.train.collective.broadcast_from_rank_zero(own))
        self._left, self._asked_at = self._interval, now
        nodes = frozenset() if info is None else frozenset(info.preempted_node_to_ranks)
        is_new = not nodes <= self._known
        self._known |= nodes
        return is_new
