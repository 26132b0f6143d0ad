"""MoCo v3's loss against the paper's formula, over workers, and what it refuses."""

import math

import pytest
import torch

from raydr.losses.momentum_contrast import momentum_contrast


def rows(seed: int, count: int = 8) -> torch.Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))


def literal_loss(queries: torch.Tensor, keys: torch.Tensor, temperature: float) -> float:
    """Equation 1 of arXiv:2104.02057, averaged and times 2 tau as in its algorithm 1: k+ and every k- term by term."""

    def product(i: int, j: int) -> float:
        return float(queries[i] @ keys[j] / (queries[i].norm() * keys[j].norm()))

    total = 0.0
    for i in range(len(queries)):
        positive = math.exp(product(i, i) / temperature)
        negatives = sum(math.exp(product(i, j) / temperature) for j in range(len(keys)) if j != i)
        total += -math.log(positive / (positive + negatives))
    return 2 * temperature * total / len(queries)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_matches_the_papers_formula(temperature):
    loss = momentum_contrast(rows(0), rows(1), twin=torch.arange(8), temperature=temperature)
    assert loss.item() == pytest.approx(literal_loss(rows(0), rows(1), temperature), rel=1e-5)


@pytest.mark.parametrize("num_workers", [2, 4])
def test_the_mean_over_workers_is_the_global_batch_in_loss_and_gradient(num_workers):
    queries, keys = rows(0).requires_grad_(), rows(1)
    whole = momentum_contrast(queries, keys, twin=torch.arange(8), temperature=0.2)
    (expected,) = torch.autograd.grad(whole, queries)
    parts = [
        momentum_contrast(queries[own], keys, twin=own, temperature=0.2) for own in torch.arange(8).chunk(num_workers)
    ]
    mean = torch.stack(parts).mean()
    torch.testing.assert_close(mean, whole)
    torch.testing.assert_close(torch.autograd.grad(mean, queries)[0], expected)


def test_keys_that_are_all_alike_cost_the_logarithm_of_their_number():
    loss = momentum_contrast(rows(0), torch.ones(8, 5), twin=torch.arange(8), temperature=0.5)
    assert loss.item() == pytest.approx(math.log(8), rel=1e-5)


def test_keys_get_no_gradient_lengths_do_not_matter_and_half_precision_is_lifted():
    queries, keys, twin = rows(0).requires_grad_(), rows(1).requires_grad_(), torch.arange(8)
    expected = momentum_contrast(queries, keys, twin=twin, temperature=0.2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = momentum_contrast(queries * 50, keys / 50, twin=twin, temperature=0.2)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert keys.grad is None
    assert queries.grad is not None


@pytest.mark.parametrize(
    "change", [{"temperature": 0.0}, {"twin": torch.arange(3)}, {"keys": torch.ones(8, 4)}, {"keys": torch.ones(8)}]
)
def test_arguments_that_do_not_fit_are_refused(change):
    arguments = {"queries": rows(0), "keys": rows(1), "twin": torch.arange(8), "temperature": 0.2, **change}
    with pytest.raises(ValueError, match="must"):
        momentum_contrast(arguments.pop("queries"), arguments.pop("keys"), **arguments)
