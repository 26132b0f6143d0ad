"""NT-Xent against the paper's double loop, over workers, and in closed form."""

import math

import pytest
import torch

from raydr.losses.contrastive import nt_xent


def twins(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    own = torch.arange(2 * count)
    return own, own.roll(count)


def literal_loss(views: torch.Tensor, count: int, temperature: float) -> float:
    """Equation 1 and the average of arXiv:2002.05709, term by term."""

    def similarity(i: int, j: int) -> float:
        return float(views[i] @ views[j] / (views[i].norm() * views[j].norm()))

    total = 0.0
    for i in range(2 * count):
        j = (i + count) % (2 * count)
        others = sum(math.exp(similarity(i, k) / temperature) for k in range(2 * count) if k != i)
        total += -math.log(math.exp(similarity(i, j) / temperature) / others)
    return total / (2 * count)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_matches_the_papers_double_loop(temperature):
    views = torch.randn(10, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    own, twin = twins(5)
    loss = nt_xent(views, views, own=own, twin=twin, temperature=temperature)
    assert loss.item() == pytest.approx(literal_loss(views, 5, temperature), rel=1e-5)


@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_the_mean_over_workers_is_the_global_batch_in_loss_and_gradient(num_workers):
    views = torch.randn(16, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    own, twin = twins(8)
    whole = nt_xent(views, views, own=own, twin=twin, temperature=0.2)
    (expected,) = torch.autograd.grad(whole, views)
    rows = torch.arange(16).chunk(num_workers)
    parts = [nt_xent(views[r], views, own=own[r], twin=twin[r], temperature=0.2) for r in rows]
    mean = torch.stack(parts).mean()
    torch.testing.assert_close(mean, whole)
    torch.testing.assert_close(torch.autograd.grad(mean, views)[0], expected)


def test_views_that_are_all_alike_cost_the_logarithm_of_the_other_keys():
    own, twin = twins(4)
    loss = nt_xent(torch.ones(8, 3), torch.ones(8, 3), own=own, twin=twin, temperature=0.1)
    assert loss.item() == pytest.approx(math.log(7), rel=1e-5)


def test_twins_apart_from_all_others_cost_nothing():
    views = torch.eye(4).repeat(2, 1)
    own, twin = twins(4)
    assert nt_xent(views, views, own=own, twin=twin, temperature=0.02).item() < 1e-6


def test_lengths_do_not_matter_and_half_precision_is_lifted():
    views = torch.randn(8, 5, generator=torch.Generator().manual_seed(2))
    own, twin = twins(4)
    expected = nt_xent(views, views, own=own, twin=twin, temperature=0.07)
    torch.testing.assert_close(nt_xent(views * 100, views / 100, own=own, twin=twin, temperature=0.07), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(nt_xent(views, views, own=own, twin=twin, temperature=0.07), expected)


@pytest.mark.parametrize("change", [{"own": torch.arange(3)}, {"twin": torch.arange(3)}, {"temperature": 0.0}])
def test_arguments_that_do_not_fit_are_refused(change):
    own, twin = twins(2)
    arguments = {"own": own, "twin": twin, "temperature": 0.1, **change}
    with pytest.raises(ValueError, match="must"):
        nt_xent(torch.ones(4, 2), torch.ones(4, 2), **arguments)


def test_keys_of_another_width_are_refused():
    own, twin = twins(2)
    with pytest.raises(ValueError, match="one width"):
        nt_xent(torch.ones(4, 2), torch.ones(4, 3), own=own, twin=twin, temperature=0.1)


def literal_decoupled_loss(views: torch.Tensor, count: int, temperature: float) -> float:
    """Equation 6 of arXiv:2110.06848, term by term, as a mean over images and views."""

    def similarity(i: int, j: int) -> float:
        return float(views[i] @ views[j] / (views[i].norm() * views[j].norm()))

    total = 0.0
    for i in range(2 * count):
        twin = (i + count) % (2 * count)
        others = sum(math.exp(similarity(i, k) / temperature) for k in range(2 * count) if k not in (i, twin))
        total += -similarity(i, twin) / temperature + math.log(others)
    return total / (2 * count)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_decoupled_it_is_the_papers_equation_6(temperature):
    views = torch.randn(10, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    own, twin = twins(5)
    loss = nt_xent(views, views, own=own, twin=twin, temperature=temperature, decoupled=True)
    assert loss.item() == pytest.approx(literal_decoupled_loss(views, 5, temperature), rel=1e-5)


def test_decoupled_the_pull_of_a_twin_does_not_fade_when_it_is_found():
    """Else in small batches the gradient of an easy pair is as good as none (arXiv:2110.06848, eq. 5)."""
    found = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    views = torch.cat([found, found + 0.3 * torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])])
    own, twin = twins(2)

    def pull(*, decoupled: bool) -> float:
        variable = views.clone().requires_grad_()
        nt_xent(variable, variable, own=own, twin=twin, temperature=0.1, decoupled=decoupled).backward()
        return float(variable.grad.norm())

    assert pull(decoupled=True) > 100 * pull(decoupled=False)


def test_decoupled_a_single_image_has_nothing_to_be_apart_from():
    own, twin = twins(1)
    with pytest.raises(ValueError, match="two images"):
        nt_xent(torch.ones(2, 3), torch.ones(2, 3), own=own, twin=twin, temperature=0.1, decoupled=True)
