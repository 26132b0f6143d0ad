"""Sharpened targets, features and consistency between views: literal formulas, limits, and what is refused."""

import math

import pytest
import torch

from raydr.losses.consistency import consistency_loss
from raydr.losses.distillation import hard_target_loss, soft_target_loss
from raydr.losses.feature import feature_loss
from raydr.losses.sharpened import sharpened_target_loss


def pair(width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    student, teacher = torch.randn(2, 10, width, generator=generator)
    return student.requires_grad_(), teacher.requires_grad_()


@pytest.mark.parametrize("temperature", [0.25, 0.5, 1.0])
def test_sharpened_targets_are_probabilities_raised_to_a_power(temperature):
    student, teacher = pair(5)
    total = 0.0
    for s, t in zip(student.log_softmax(1).tolist(), teacher.softmax(1).tolist(), strict=True):
        raised = [p ** (1 / temperature) for p in t]
        total -= sum(p / sum(raised) * log_q for p, log_q in zip(raised, s, strict=True))
    loss = sharpened_target_loss(student, teacher, temperature=temperature)
    assert loss.item() == pytest.approx(total / len(student), rel=1e-5)


@pytest.mark.parametrize("num_outputs", [1, 5])
def test_sharpening_leads_from_soft_targets_to_hard_ones(num_outputs):
    student, teacher = pair(num_outputs)
    torch.testing.assert_close(
        sharpened_target_loss(student, teacher, temperature=1.0), soft_target_loss(student, teacher, temperature=1.0)
    )
    torch.testing.assert_close(
        sharpened_target_loss(student, teacher, temperature=1e-4), hard_target_loss(student, teacher)
    )


def test_features_of_one_direction_cost_nothing_and_of_opposite_ones_two():
    student, teacher = pair(7)
    assert feature_loss(3 * teacher.detach(), teacher).item() == pytest.approx(0, abs=1e-6)
    assert feature_loss(-teacher.detach(), teacher).item() == pytest.approx(2, abs=1e-6)
    literal = [
        1 - sum(a * b for a, b in zip(s, t, strict=True)) / (math.hypot(*s) * math.hypot(*t))
        for s, t in zip(student.tolist(), teacher.tolist(), strict=True)
    ]
    assert feature_loss(student, teacher).item() == pytest.approx(sum(literal) / len(literal), rel=1e-5)


@pytest.mark.parametrize("num_outputs", [1, 5])
def test_consistency_is_fixmatchs_equation_4(num_outputs):
    strong, weak = pair(num_outputs)
    threshold, total = 0.6, 0.0
    for s, w in zip(strong.tolist(), weak.tolist(), strict=True):
        two = num_outputs == 1
        q = torch.tensor([0.0, *w] if two else w).softmax(0).tolist()
        log_p = torch.tensor([0.0, *s] if two else s).log_softmax(0).tolist()
        if max(q) >= threshold:
            total -= log_p[q.index(max(q))]
    assert total > 0
    assert consistency_loss(strong, weak, threshold=threshold).item() == pytest.approx(total / len(strong), rel=1e-5)


def test_nothing_is_learned_from_unsure_calls():
    strong, weak = pair(1)
    loss = consistency_loss(strong, 0.01 * weak, threshold=0.95)
    loss.backward()
    assert loss.item() == 0
    assert strong.grad.abs().sum() == 0


def test_targets_get_no_gradient():
    student, teacher = pair(4)
    loss = sharpened_target_loss(student, teacher, temperature=0.5) + feature_loss(student, teacher)
    (loss + consistency_loss(student, teacher, threshold=0.1)).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1.5, math.nan])
def test_a_temperature_that_does_not_sharpen_is_refused(temperature):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        sharpened_target_loss(*pair(1), temperature=temperature)


def test_shapes_that_would_broadcast_are_refused():
    a, b = torch.zeros(4, 1), torch.zeros(4)
    for call in (
        lambda: sharpened_target_loss(a, b, temperature=0.5),
        lambda: feature_loss(a, b),
        lambda: consistency_loss(a, b, threshold=0.9),
    ):
        with pytest.raises(ValueError, match="one shape"):
            call()
    with pytest.raises(ValueError, match=r"threshold 1\.5"):
        consistency_loss(a, a, threshold=1.5)
