"""A batch in pieces has the gradient of the whole batch, also where the loss compares every image with every other."""

import contextlib
import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from raydr.engine.accumulation import Passes, backward
from raydr.engine.batch import Batch
from raydr.engine.step import Step
from raydr.engine.steps.classify import ClassifyStep
from raydr.engine.steps.simclr import SimclrStep


def noisy(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A view whose randomness is each image's own and drawn image by image, so that pieces draw the same."""
    noise = [torch.randn(image.shape[1:], generator=generator) for _ in image]
    return image.float() / 255 + 0.1 * torch.stack(noise)


def still(image: torch.Tensor, _generator: torch.Generator) -> torch.Tensor:
    return image.float() / 255


class Flips:
    """The picture, then its mirror image, without randomness."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, image: torch.Tensor, _generator: torch.Generator) -> torch.Tensor:
        self.calls += 1
        return still(image.flip(-1) if self.calls % 2 else image, _generator)


def network(*, batch_norm: bool = False, dropout: float = 0.0) -> torch.nn.Module:
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = [torch.nn.Flatten(), torch.nn.Linear(48, 16)]
    layers += [torch.nn.BatchNorm1d(16)] * batch_norm
    layers += [torch.nn.Tanh(), torch.nn.Dropout(dropout), torch.nn.Linear(16, 6)]
    return torch.nn.Sequential(*layers)


@pytest.fixture
def batch() -> Batch:
    draw = np.random.default_rng(0)
    image = torch.from_numpy(draw.integers(0, 256, (7, 3, 4, 4), dtype=np.uint8))
    return Batch(image, torch.arange(7), torch.tensor([0, 1, 2, 3, 4, -1, 2]))


def gradient(step: Step, bare: torch.nn.Module, batch: Batch, images_at_once: int | None) -> tuple[float, torch.Tensor]:
    bare.zero_grad()
    torch.manual_seed(5)
    loss = backward(step, batch, torch.Generator().manual_seed(3), Passes(bare, images_at_once=images_at_once))
    return float(loss), torch.cat([p.grad.flatten() for p in bare.parameters() if p.grad is not None])


def steps() -> Iterator[tuple[str, torch.nn.Module, Step]]:
    for name, view in (("simclr", Flips()), ("supervised", still)):
        bare = network()
        identity = torch.nn.Identity()
        step = (
            SimclrStep(bare, view, identity, 0, temperature=0.2)
            if name == "simclr"
            else ClassifyStep(torch.nn.Sequential(bare, torch.nn.Linear(6, 5)), view, torch.arange(1.0, 6.0))
        )
        yield name, bare, step


@pytest.mark.parametrize(("name", "bare", "step"), list(steps()), ids=["simclr", "supervised"])
@pytest.mark.parametrize("pieces_of", [1, 2, 3, 7])
def test_pieces_have_the_whole_batchs_loss_and_gradient(name, bare, step, batch, pieces_of):
    loss, whole = gradient(step, bare, batch, None)
    other_loss, pieces = gradient(step, bare, batch, pieces_of)
    assert other_loss == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-6)


def test_the_mean_of_the_pieces_own_losses_would_be_another_gradient(batch):
    """So the test above can fail: that is what accumulating a contrastive loss naively does."""
    bare = network()
    step = SimclrStep(bare, Flips(), torch.nn.Identity(), 0, temperature=0.2)
    _, whole = gradient(step, bare, batch, None)
    bare.zero_grad()
    for piece in batch.pieces(2):
        share = len(piece.row) / len(batch.row)
        (step.loss(step.outputs(piece, torch.Generator()), piece) * share).backward()
    naive = torch.cat([p.grad.flatten() for p in bare.parameters()])
    assert (naive - whole).norm() > 0.3 * whole.norm()


def test_views_and_dropout_are_the_same_in_both_passes(batch):
    """Else the cached gradients would belong to other outputs: a finite difference would tell."""
    bare = network(dropout=0.5)
    seen = []

    class Noted(SimclrStep):
        def outputs(self, batch, generator):
            found = SimclrStep.outputs(self, batch, generator)
            seen.append(torch.cat([part.detach() for part in found]))
            return found

    gradient(Noted(bare, noisy, torch.nn.Identity(), 0, temperature=0.2), bare, batch, 3)
    assert len(seen) == 6
    for first, second in zip(seen[:3], seen[3:], strict=True):
        assert torch.equal(first, second)


def test_afterwards_the_generators_stand_where_one_pass_leaves_them(batch):
    """What comes after the batch must not depend on the number of passes."""
    stands = []
    for images_at_once in (None, 3):
        bare, generator = network(dropout=0.5), torch.Generator().manual_seed(3)
        torch.manual_seed(5)
        step = SimclrStep(bare, noisy, torch.nn.Identity(), 0, temperature=0.2)
        if images_at_once is None:
            for piece in batch.pieces(3):
                step.outputs(piece, generator)
        else:
            backward(step, batch, generator, Passes(bare, images_at_once=images_at_once))
        stands.append((generator.get_state(), torch.get_rng_state()))
    assert torch.equal(stands[0][0], stands[1][0])
    assert torch.equal(stands[0][1], stands[1][1])


def test_workers_gradients_are_averaged_with_the_last_piece_alone(batch):
    bare, kept = network(), []

    @contextlib.contextmanager
    def no_sync():
        kept.append("open")
        yield
        kept.append("closed")

    class Noted(SimclrStep):
        def outputs(self, batch, generator):
            if torch.is_grad_enabled():
                kept.append(len(batch.row))
            return SimclrStep.outputs(self, batch, generator)

    step = Noted(bare, still, torch.nn.Identity(), 0, temperature=0.2)
    backward(step, batch, torch.Generator(), Passes(bare, no_sync=no_sync, images_at_once=3))
    assert kept == ["open", 3, "closed", "open", 2, "closed", 2]


def test_running_statistics_take_in_every_image_once(batch):
    bare = network(batch_norm=True)
    pieces = copy.deepcopy(bare)
    for piece in batch.pieces(4):
        pieces(torch.cat([still(piece.image.flip(-1), None), still(piece.image, None)]))  # type: ignore[arg-type]
    gradient(SimclrStep(bare, Flips(), torch.nn.Identity(), 0, temperature=0.2), bare, batch, 4)
    torch.testing.assert_close(bare[2].running_mean, pieces[2].running_mean)
    assert bare[2].num_batches_tracked == 2
    assert bare[2].track_running_stats
