"""Second views of the fellow eye: as often as asked, of that patient alone, a matter of seed, epoch and step."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from raydr.engine.batch import Batch, Pool
from raydr.engine.fellow_eyes import WithFellowEyes
from raydr.engine.sources import ShuffledPool

NUM_PATIENTS, FIRST_ROW = 40, 7
"""Two eyes each; the manifest has other rows before and after theirs."""
NUM_ROWS = FIRST_ROW + 2 * NUM_PATIENTS + 3


@pytest.fixture
def pool() -> Pool:
    """Each picture shows its row's number; not in the rows' order."""
    row = np.random.default_rng(0).permutation(np.arange(FIRST_ROW, FIRST_ROW + 2 * NUM_PATIENTS))
    image = np.broadcast_to(row.astype(np.uint8)[:, None, None, None], (len(row), 3, 4, 4))
    return Pool(image.copy(), row, np.full(len(row), -1))


def fellows() -> np.ndarray:
    """Eyes lie side by side; the first patient's second eye has no fellow named, the rows outside have none."""
    fellow = np.full(NUM_ROWS, -1)
    eyes = np.arange(2 * NUM_PATIENTS)
    fellow[FIRST_ROW + eyes] = FIRST_ROW + (eyes ^ 1)
    fellow[FIRST_ROW + 1] = -1
    return fellow


def source(pool: Pool, probability: float, batch_size: int = 8, seed: int = 3, **worker: int) -> WithFellowEyes:
    shuffled = ShuffledPool(pool, batch_size, seed=seed, **worker)
    return WithFellowEyes(shuffled, pool, fellows(), probability, seed, **worker)


def shown(image: torch.Tensor) -> np.ndarray:
    return image[:, 0, 0, 0].numpy().astype(int)


def own_and_second(batches) -> tuple[np.ndarray, np.ndarray]:
    batches = list(batches)
    own = np.concatenate([shown(batch.image) for batch in batches])
    assert own.tolist() == [row for batch in batches for row in batch.row.tolist()]
    return own, np.concatenate([shown(batch.second) for batch in batches])


def test_with_certainty_every_second_picture_is_the_fellows_where_there_is_one(pool):
    own, second = own_and_second(source(pool, 1.0).epoch(0))
    fellow = fellows()[own]
    assert second.tolist() == np.where(fellow >= 0, fellow, own).tolist()
    assert (fellow < 0).sum() == 1


def test_with_even_chances_about_half_are_and_none_is_of_another_patient(pool):
    own, second = map(
        np.concatenate, zip(*(own_and_second(source(pool, 0.5).epoch(n)) for n in range(20)), strict=True)
    )
    assert set((second - FIRST_ROW) // 2 - (own - FIRST_ROW) // 2) == {0}
    assert 0.45 < (second != own).mean() < 0.55


def test_without_a_chance_the_second_picture_is_the_first(pool):
    own, second = own_and_second(source(pool, 0.0).epoch(0))
    assert (own == second).all()


def test_the_draw_depends_on_seed_epoch_and_step_alone(pool):
    whole = [shown(batch.second).tolist() for batch in source(pool, 0.5).epoch(2)]
    assert [shown(batch.second).tolist() for batch in source(pool, 0.5).epoch(2, 3)] == whole[3:]

    def drawn(seed: int, epoch: int) -> list[list[bool]]:
        return [(shown(b.second) != shown(b.image)).tolist() for b in source(pool, 0.5, seed=seed).epoch(epoch)]

    assert drawn(3, 2) == drawn(3, 2)
    assert drawn(3, 2) != drawn(3, 1)
    assert drawn(3, 2) != drawn(4, 2)
    assert drawn(3, 2)[0] != drawn(3, 2)[1]


def test_two_workers_together_see_what_one_sees(pool):
    alone = source(pool, 0.5).epoch(1)
    workers = (source(pool, 0.5, 4, rank=rank, world_size=2).epoch(1) for rank in (0, 1))
    for whole, first, second in zip(alone, *workers, strict=True):
        assert torch.equal(whole.second, torch.cat([first.second, second.second]))


def test_a_fellow_that_is_not_held_is_left_out(pool):
    half = Pool(pool.image[::2], pool.row[::2], pool.grade[::2])
    own, second = own_and_second(source(half, 1.0).epoch(0))
    fellow = fellows()[own]
    is_held = np.isin(fellow, half.row)
    assert second.tolist() == np.where(is_held, fellow, own).tolist()
    assert 0 < is_held.sum() < len(own)


@pytest.fixture
def batch(pool) -> Batch:
    return next(iter(source(pool, 1.0).epoch(0)))


def test_twins_go_with_their_images_into_pieces_and_joined_batches(batch):
    pieces = list(batch.pieces(3))
    assert [len(piece.row) for piece in pieces] == [3, 3, 2]
    assert torch.equal(torch.cat([piece.second for piece in pieces]), batch.second)
    joined = pieces[0].joined(replace(pieces[1], twin=None))
    assert torch.equal(joined.second, torch.cat([pieces[0].second, pieces[1].image]))
    assert torch.equal(batch.to(torch.device("cpu")).second, batch.second)
    assert batch.to(torch.device("meta")).second.device.type == "meta"


def test_batches_without_twins_stay_without(batch):
    plain = replace(batch, twin=None)
    assert plain.second is plain.image
    assert plain.to(torch.device("cpu")).twin is None
    assert plain.joined(plain).twin is None
    assert next(plain.pieces(3)).twin is None
