"""The order of an epoch: which rows of a table each task of a stream reads, a matter of seed and epoch alone."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Plan: TypeAlias = Callable[[int], list[NDArray[np.int64]]]
"""The row numbers of each task of epoch n (from 0), in the order in which they are to come."""

# Sizes may depend on nothing but the table: trainers take turns at what tasks make, so they shape each one's order.
ROWS_PER_TASK: Final = 64
"""Photographs a task reads: seconds of work beside a start of milliseconds, about 10 MB of pictures."""
_MIXED_ROWS: Final = 256
_FEWEST_GROUPS, _MOST_GROUPS = 4, 16
_FEWEST_TASKS: Final = 8


def in_order(epoch: int, *, sizes: Sequence[int]) -> list[NDArray[np.int64]]:  # noqa: ARG001
    """Consecutive rows, so many a task; the same in every epoch."""
    return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


def shuffled_rows(epoch: int, *, num_rows: int, seed: int) -> list[NDArray[np.int64]]:
    """A permutation of all rows, every one of them as likely as any other."""
    order = np.random.default_rng([seed, epoch]).permutation(num_rows)
    rows_per_task = min(ROWS_PER_TASK, -(-num_rows // (4 * _FEWEST_TASKS)))
    return np.array_split(order, -(-num_rows // rows_per_task))


def mixed_groups(epoch: int, *, lengths: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    """A permutation of all rows where those of a row group, which can only be read whole, come in one task.

    The groups are cut into 4 to 16 equal stretches, a task gets one group out of each, by a permutation of every
    stretch, and mixes all their rows. So each run of rows is drawn from all over the table, however it is sorted.

    Args:
        epoch: From 0.
        lengths: Rows of each group, in the table's order.
        seed: Another one gives another permutation.
    """
    draw = np.random.default_rng([seed, epoch])
    num_groups, num_rows = len(lengths), int(lengths.sum())
    wanted = -(-_MIXED_ROWS * num_groups // max(num_rows, 1))
    most = max(_FEWEST_GROUPS, num_groups // _FEWEST_TASKS)
    num_stretches = min(num_groups, most, max(_FEWEST_GROUPS, min(_MOST_GROUPS, wanted)))
    tasks: list[list[int]] = [[] for _ in range(-(-num_groups // num_stretches))]
    for stretch in np.array_split(np.arange(num_groups), num_stretches):
        for task, group in zip(draw.permutation(len(tasks)), draw.permutation(stretch), strict=False):
            tasks[task].append(group)
    ends = np.cumsum(lengths)
    return [
        draw.permutation(np.concatenate([np.arange(ends[group] - lengths[group], ends[group]) for group in groups]))
        for groups in tasks
    ]
