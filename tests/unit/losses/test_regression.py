"""BYOL's loss against the paper's formula, and what it refuses."""

import pytest
import torch

from raydr.losses.regression import direction_loss


def literal_loss(predictions: torch.Tensor, targets: torch.Tensor) -> float:
    """Equation 2 of arXiv:2006.07733, row by row and coordinate by coordinate: the squared distance of unit vectors."""
    total = 0.0
    for q, z in zip(predictions.tolist(), targets.tolist(), strict=True):
        q_length, z_length = sum(x * x for x in q) ** 0.5, sum(x * x for x in z) ** 0.5
        total += sum((x / q_length - y / z_length) ** 2 for x, y in zip(q, z, strict=True))
    return total / len(predictions)


def rows(seed: int, count: int = 6) -> torch.Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))


def test_matches_the_papers_formula():
    assert direction_loss(rows(0), rows(1)).item() == pytest.approx(literal_loss(rows(0), rows(1)), rel=1e-5)


def test_is_0_for_one_direction_4_for_opposite_ones_whatever_the_lengths():
    assert direction_loss(rows(0), 7 * rows(0)).item() == pytest.approx(0, abs=1e-6)
    assert direction_loss(rows(0), -0.1 * rows(0)).item() == pytest.approx(4)


def test_targets_get_no_gradient_and_predictions_do():
    predictions, targets = rows(0).requires_grad_(), rows(1).requires_grad_()
    direction_loss(predictions, targets).backward()
    assert targets.grad is None
    assert predictions.grad is not None
    assert predictions.grad.abs().max() > 0


def test_half_precision_is_lifted():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert direction_loss(rows(0), rows(1)).item() == pytest.approx(literal_loss(rows(0), rows(1)), rel=1e-5)


@pytest.mark.parametrize("targets", [torch.ones(6, 4), torch.ones(5, 5), torch.ones(6)])
def test_shapes_that_differ_are_refused(targets):
    with pytest.raises(ValueError, match="one shape"):
        direction_loss(rows(0), targets)
