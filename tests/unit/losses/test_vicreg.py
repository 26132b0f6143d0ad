"""VICReg's three terms against the paper's equations written out, over workers, and in closed form."""

import math

import pytest
import torch

from raydr.losses.vicreg import covariance, invariance, variance_hinge


def embeddings(seed: int, count: int = 7, width: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator) * torch.tensor([0.2, 0.7, 1.0, 1.5, 0.9])[:width]


def literal_variance(z: torch.Tensor) -> float:
    """Equations 1 and 2 of arXiv:2105.04906 with gamma = 1 and epsilon = 0.0001, number by number."""
    rows, total = z.tolist(), 0.0
    for j in range(len(rows[0])):
        mean = sum(row[j] for row in rows) / len(rows)
        variance = sum((row[j] - mean) ** 2 for row in rows) / (len(rows) - 1)
        total += max(0.0, 1 - math.sqrt(variance + 1e-4))
    return total / len(rows[0])


def literal_covariance(z: torch.Tensor) -> float:
    """Equations 3 and 4, number by number."""
    rows = z.tolist()
    count, width = len(rows), len(rows[0])
    mean = [sum(row[j] for row in rows) / count for j in range(width)]
    total = 0.0
    for a in range(width):
        for b in range(width):
            if a != b:
                total += (sum((row[a] - mean[a]) * (row[b] - mean[b]) for row in rows) / (count - 1)) ** 2
    return total / width


def literal_invariance(first: torch.Tensor, second: torch.Tensor) -> float:
    pairs = [(a, b) for x, y in zip(first.tolist(), second.tolist(), strict=True) for a, b in zip(x, y, strict=True)]
    return sum((a - b) ** 2 for a, b in pairs) / len(pairs)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_terms_are_the_papers_equations(seed):
    z, other = embeddings(seed), embeddings(seed + 10)
    assert variance_hinge(z).item() == pytest.approx(literal_variance(z), rel=1e-5)
    assert covariance(z).item() == pytest.approx(literal_covariance(z), rel=1e-5)
    assert invariance(z, other).item() == pytest.approx(literal_invariance(z, other), rel=1e-5)


def test_one_point_for_all_images_costs_the_whole_deviation_and_has_a_finite_gradient():
    z = torch.ones(6, 4, requires_grad=True)
    loss = variance_hinge(z)
    assert loss.item() == pytest.approx(1 - 0.01)
    (gradient,) = torch.autograd.grad(loss, z)
    assert gradient.isfinite().all()


def test_variance_is_asked_for_only_up_to_the_target():
    z = torch.randn(500, 4, generator=torch.Generator().manual_seed(2)) * 3
    assert variance_hinge(z).item() == 0
    assert variance_hinge(z, target=5.0).item() == pytest.approx(2, abs=0.2)


def test_dimensions_that_say_the_same_cost_and_independent_ones_do_not():
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert covariance(signs).item() == pytest.approx(0, abs=1e-7)
    assert covariance(signs[:, [0, 0]]).item() == pytest.approx(2 * (4 / 3) ** 2 / 2)


def test_half_precision_is_lifted():
    z = embeddings(3, count=64) + 100
    expected = covariance(z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(covariance(z), expected)


@pytest.mark.parametrize("wrong", [torch.ones(1, 3), torch.ones(4)])
def test_statistics_of_less_than_two_rows_are_refused(wrong):
    with pytest.raises(ValueError, match="at least two rows"):
        variance_hinge(wrong)
    with pytest.raises(ValueError, match="at least two rows"):
        covariance(wrong)


def test_embeddings_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        invariance(torch.ones(4, 3), torch.ones(4, 2))
