"""Batches that are made ready in a thread: the same ones, no more than two ahead, errors in their place."""

import threading
import time

import pytest
import torch

from raydr.engine.batch import Batch
from raydr.engine.prefetch import prefetched


def numbered(number):
    return Batch(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.tensor([number]), torch.tensor([-1]))


def rows(batches):
    return [int(batch.row) for batch in batches]


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def test_the_batches_come_in_their_order_and_end():
    assert rows(prefetched(map(numbered, range(20)), pin=False)) == list(range(20))
    assert rows(prefetched(iter(()), pin=False)) == []


def test_they_are_made_in_another_thread_while_one_is_worked_on_and_not_without_end():
    made, threads = [], set()

    def source():
        for number in range(100):
            threads.add(threading.current_thread())
            made.append(number)
            yield numbered(number)

    batches = prefetched(source(), pin=False)
    next(batches)
    assert wait_for(lambda: len(made) == 4)  # the one in hand, two that wait, one that does not fit
    time.sleep(0.3)
    assert len(made) == 4
    assert threading.current_thread() not in threads
    batches.close()


def test_an_error_comes_after_the_batches_before_it():
    def source():
        yield numbered(0)
        raise ValueError("unreadable")

    batches = prefetched(source(), pin=False)
    assert int(next(batches).row) == 0
    with pytest.raises(ValueError, match="unreadable"):
        next(batches)


def test_a_training_that_leaves_early_leaves_no_thread_behind():
    before = threading.active_count()
    batches = prefetched(map(numbered, range(1000)), pin=False)
    next(batches)
    batches.close()
    assert wait_for(lambda: threading.active_count() <= before)
