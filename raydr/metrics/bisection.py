"""Where a condition ceases to hold."""

from collections.abc import Callable

_STEPS = 60  # halves any interval to the rounding of its ends


def bisection(holds: Callable[[float], bool], outside: float, inside: float) -> float:
    """The point at which ``holds`` ceases on the way from ``outside``, where it does, to ``inside``, where it does not.

    An end where it holds all the way, or nowhere.
    """
    for _ in range(_STEPS):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if holds(middle) else (outside, middle)
    return inside
