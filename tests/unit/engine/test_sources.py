"""Batches out of a pool: every image at most once, the same order for the same seed, shares that do not overlap."""

import numpy as np
import pytest

from raydr.engine.batch import Pool
from raydr.engine.sources import ShuffledPool, WithLabelled, local_batch_size


@pytest.fixture
def pool() -> Pool:
    rows = np.arange(23, dtype=np.int64)
    return Pool(np.repeat(rows.astype(np.uint8), 3 * 4 * 4).reshape(23, 3, 4, 4), rows, rows % 5)


def rows_of(source, epoch):
    return [row for batch in source.epoch(epoch) for row in batch.row.tolist()]


def test_an_epoch_has_every_image_at_most_once_and_pictures_stay_with_their_rows(pool):
    source = ShuffledPool(pool, batch_size=5, seed=1)
    batches = list(source.epoch(0))
    assert len(batches) == source.steps_per_epoch == 4
    rows = [row for batch in batches for row in batch.row.tolist()]
    assert len(set(rows)) == len(rows) == 20
    for batch in batches:
        assert (batch.image[:, 0, 0, 0] == batch.row).all()


def test_order_depends_on_seed_and_epoch_alone(pool):
    assert rows_of(ShuffledPool(pool, 5, seed=1), 3) == rows_of(ShuffledPool(pool, 5, seed=1), 3)
    assert rows_of(ShuffledPool(pool, 5, seed=1), 3) != rows_of(ShuffledPool(pool, 5, seed=1), 4)
    assert rows_of(ShuffledPool(pool, 5, seed=1), 3) != rows_of(ShuffledPool(pool, 5, seed=2), 3)


def test_two_workers_together_see_what_one_sees_in_the_same_global_batches(pool):
    alone = list(ShuffledPool(pool, 6, seed=1).epoch(0))
    workers = [list(ShuffledPool(pool, 3, seed=1, rank=rank, world_size=2).epoch(0)) for rank in (0, 1)]
    for whole, first, second in zip(alone, *workers, strict=True):
        assert whole.row.tolist() == first.row.tolist() + second.row.tolist()


def test_every_batch_is_joined_by_labelled_images_drawn_in_turn(pool):
    labelled = Pool(pool.image[:3], pool.row[:3] + 100, pool.grade[:3])
    source = WithLabelled(ShuffledPool(pool, 5, seed=1), labelled, 2, seed=4)
    batches = list(source.epoch(0))
    assert [len(batch.row) for batch in batches] == [7] * 4
    drawn = [row for batch in batches for row in batch.row[5:].tolist()]
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == [100, 101, 102]


def test_labelled_images_do_not_come_in_the_order_of_the_batches_that_they_join(pool):
    for rank, world_size in ((0, 1), (0, 2), (1, 2)):
        source = ShuffledPool(pool, 4, seed=1, rank=rank, world_size=world_size)
        joined = WithLabelled(source, pool, 4, seed=1, rank=rank)
        batches = [batch.row.tolist() for batch in joined.epoch(0)]
        assert [row for batch in batches for row in batch[:4]] != [row for batch in batches for row in batch[4:]]


@pytest.mark.parametrize(("images", "batch", "workers", "size"), [(100, 32, 2, 16), (20, 64, 1, 20), (20, 64, 2, 10)])
def test_a_batch_is_never_larger_than_the_images_there_are(images, batch, workers, size):
    assert local_batch_size(images, batch, workers) == size


def test_fewer_than_two_images_a_worker_is_refused():
    with pytest.raises(ValueError, match="fewer than 2 a step for each of 2 workers"):
        local_batch_size(3, 64, 2)


def test_an_epoch_can_be_begun_in_its_middle(pool):
    labelled = Pool(pool.image[:3], pool.row[:3] + 100, pool.grade[:3])
    source = WithLabelled(ShuffledPool(pool, 5, seed=1), labelled, 2, seed=4)
    whole, rest = list(source.epoch(2)), list(source.epoch(2, 1))
    assert [batch.row.tolist() for batch in rest] == [batch.row.tolist() for batch in whole[1:]]
