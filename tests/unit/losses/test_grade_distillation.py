"""Decoupled and standardised distillation against their papers' formulas, literally, and why they need five grades."""

import math

import pytest
import torch

from raydr.losses.decoupled import decoupled_loss
from raydr.losses.standardised import standardised_loss


def pair(num_outputs: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    student, teacher = 2 * torch.randn(2, 12, num_outputs, generator=generator)
    return student.requires_grad_(), teacher.requires_grad_(), torch.randint(num_outputs, (12,), generator=generator)


def softmax(values: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total for value in values]


def divergence(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


@pytest.mark.parametrize(("temperature", "alpha", "beta"), [(4.0, 1.0, 8.0), (1.0, 0.5, 0.0), (2.0, 0.0, 1.0)])
def test_decoupled_is_the_papers_equation_7(temperature, alpha, beta):
    student, teacher, target = pair()
    total = 0.0
    for s, t, right in zip(student.tolist(), teacher.tolist(), target.tolist(), strict=True):
        p, q = ([value / temperature for value in row] for row in (t, s))
        full_p, full_q = softmax(p), softmax(q)
        tckd = divergence([full_p[right], 1 - full_p[right]], [full_q[right], 1 - full_q[right]])
        nckd = divergence(softmax(p[:right] + p[right + 1 :]), softmax(q[:right] + q[right + 1 :]))
        total += alpha * tckd + beta * nckd
    loss = decoupled_loss(student, teacher, target, temperature=temperature, target_weight=alpha, other_weight=beta)
    assert loss.item() == pytest.approx(temperature**2 * total / len(target), rel=1e-4)


def test_decoupled_with_beta_of_one_minus_the_teachers_right_probability_is_plain_distillation():
    """Equation 5 of the paper: KD = TCKD + (1 - p_target) NCKD."""
    student, teacher, target = (part[:1] for part in pair())
    kept = 1 - teacher.softmax(dim=1)[0, target.item()].item()
    plain = torch.nn.functional.kl_div(student.log_softmax(1), teacher.softmax(1), reduction="batchmean")
    loss = decoupled_loss(student, teacher, target, temperature=1.0, target_weight=1.0, other_weight=kept)
    torch.testing.assert_close(loss, plain)


def test_standardised_is_the_papers_equation_10():
    student, teacher, _ = pair()
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):

        def standardised(row: list[float]) -> list[float]:
            mean = sum(row) / len(row)
            deviation = math.sqrt(sum((value - mean) ** 2 for value in row) / (len(row) - 1))
            return [(value - mean) / deviation / 2 for value in row]

        total += divergence(softmax(standardised(t)), softmax(standardised(s)))
    assert standardised_loss(student, teacher, temperature=2.0).item() == pytest.approx(4 * total / 12, rel=1e-4)


def test_standardised_asks_for_the_shape_of_the_logits_alone():
    _, teacher, _ = pair()
    scaled = (3.5 * teacher.detach() + 2).requires_grad_()
    loss = standardised_loss(scaled, teacher, temperature=2.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert scaled.grad.abs().max() < 1e-5


@pytest.mark.parametrize("num_outputs", [1, 2])
def test_two_classes_are_refused_since_both_losses_would_be_blind_there(num_outputs):
    student, teacher, target = pair(num_outputs)
    with pytest.raises(ValueError, match="decoupled distillation needs at least 3 classes"):
        decoupled_loss(student, teacher, target.clamp(max=0), temperature=2.0)
    with pytest.raises(ValueError, match="logit standardisation needs at least 3 classes"):
        standardised_loss(student, teacher, temperature=2.0)


def test_the_teacher_gets_no_gradient():
    student, teacher, target = pair()
    (
        decoupled_loss(student, teacher, target, temperature=2.0) + standardised_loss(student, teacher, temperature=2.0)
    ).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0
