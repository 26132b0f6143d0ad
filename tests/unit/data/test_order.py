"""The order of an epoch: every row once, mixed from all over the table, a matter of seed and epoch alone."""

import functools

import numpy as np
import pytest

from raydr.data.order import in_order, mixed_groups, shuffled_rows

LENGTHS = np.array([16] * 37 + [5] + [16] * 37 + [9])
PLANS = {
    "photographs": functools.partial(shuffled_rows, num_rows=int(LENGTHS.sum())),
    "row groups": functools.partial(mixed_groups, lengths=LENGTHS),
}


def rows_of(plan):
    return np.concatenate(plan).tolist()


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_every_row_comes_once_an_epoch(plan, epoch):
    assert sorted(rows_of(plan(epoch, seed=3))) == list(range(LENGTHS.sum()))


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_seed_and_epoch_make_the_order(plan):
    orders = {(seed, epoch): rows_of(plan(epoch, seed=seed)) for seed in (0, 1) for epoch in (0, 1, 2)}
    assert orders[1, 2] == rows_of(plan(2, seed=1))
    assert len(set(map(tuple, orders.values()))) == 6


@pytest.mark.parametrize("num_groups", [1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000])
def test_no_row_group_is_lost_or_read_by_two_tasks_however_many_there_are(num_groups):
    lengths = np.random.default_rng(num_groups).integers(1, 17, num_groups)
    group_of = np.repeat(np.arange(num_groups), lengths)
    tasks = mixed_groups(4, lengths=lengths, seed=0)
    assert sorted(np.concatenate(tasks).tolist()) == list(range(lengths.sum()))
    read = np.concatenate([np.unique(group_of[rows]) for rows in tasks])
    assert sorted(read.tolist()) == list(range(num_groups))
    assert min(map(len, tasks)) > 0


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_batches_of_two_equal_sources_one_after_the_other_hold_both(plan):
    # Drawn without bias, a batch of 32 of one source alone has a chance of 2 * 2^-32; half of it is 16 +- 2.8.
    half, batches = LENGTHS.sum() // 2, []
    for epoch in range(20):
        rows = np.array(rows_of(plan(epoch, seed=5)))
        batches += [int((rows[start : start + 32] < half).sum()) for start in range(0, len(rows) - 31, 32)]
    assert min(batches) > 0
    assert max(batches) < 32
    assert np.mean(batches) == pytest.approx(16, abs=0.5)
    assert np.std(batches) < 4


def test_a_photograph_comes_at_any_place_of_an_epoch():
    places = [rows_of(shuffled_rows(epoch, num_rows=50, seed=0)).index(7) for epoch in range(2000)]
    counts = np.bincount(places, minlength=50)
    assert np.abs(counts - 40).max() < 5 * np.sqrt(40)


def test_row_groups_change_their_company_and_their_time():
    lengths = np.full(64, 16)
    firsts = [rows_of(mixed_groups(epoch, lengths=lengths, seed=0)).index(0) for epoch in range(200)]
    assert np.mean(firsts) == pytest.approx(1024 / 2, abs=5 * 1024 / np.sqrt(12 * 200))
    tasks = [mixed_groups(epoch, lengths=lengths, seed=0)[0] // 16 for epoch in range(2)]
    assert set(tasks[0].tolist()) != set(tasks[1].tolist())


def test_ordered_rows_are_the_same_in_every_epoch():
    assert [rows.tolist() for rows in in_order(9, sizes=(2, 1, 3))] == [[0, 1], [2], [3, 4, 5]]
