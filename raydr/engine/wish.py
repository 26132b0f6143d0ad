"""What a worker wants of its training; without torch, for processes that only pass it on."""

import enum


class Wish(enum.IntEnum):
    """What a worker wants the training to do at the next step; of several workers' wishes the greatest is done."""

    GO_ON = 0
    SAVE = 1
    """Save the state."""
    STOP = 2
    """Save the state and end: workers will be taken away."""
