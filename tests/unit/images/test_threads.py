"""Pieces side by side: all of them once, torch's settings as they were, errors out."""

import threading

import pytest
import torch

from raydr.images.augment import apply_view, augmentation
from raydr.images.threads import on_threads


@pytest.fixture(params=[1, 2, 3])
def num_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def pieces(count: int) -> list[slice]:
    return [slice(start, start + 1) for start in range(count)]


def test_every_piece_is_done_once_on_one_thread_and_the_caller_keeps_its_own(num_threads):
    done, inside, together = [], set(), threading.Barrier(num_threads)

    def work(piece: slice) -> None:
        together.wait(timeout=20)  # that many are under way at once
        done.append(piece.start)
        inside.add(torch.get_num_threads())

    on_threads(work, pieces(6 * num_threads))
    assert sorted(done) == list(range(6 * num_threads))
    assert inside == {1}
    assert torch.get_num_threads() == num_threads
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [num_threads]


def test_what_a_piece_raises_is_raised(num_threads):
    def work(piece: slice) -> None:
        raise KeyError(piece.start)

    with pytest.raises(KeyError, match="0"):
        on_threads(work, pieces(4))


@pytest.mark.parametrize("preset", ["weak_medium", "strong"])
def test_a_view_is_the_same_on_any_number_of_threads(preset, num_threads):
    image = torch.randint(0, 256, (9, 3, 160, 160), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    parameters = augmentation(preset).draw(9, torch.Generator().manual_seed(1))
    found = apply_view(image, parameters)
    torch.set_num_threads(1)
    assert torch.equal(found, apply_view(image, parameters))
    assert not found.requires_grad
