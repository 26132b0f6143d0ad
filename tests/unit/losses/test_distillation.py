"""Soft and hard targets in closed form, their gradients, and how they scale with the temperature."""

import math

import pytest
import torch

from raydr.losses.distillation import hard_target_loss, soft_target_loss


def pair(num_outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    student, teacher = torch.randn(2, 12, num_outputs, generator=generator)
    return student.requires_grad_(), teacher.requires_grad_()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_soft_targets_of_five_logits_are_the_literal_cross_entropy(temperature):
    student, teacher = pair(5)
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        t_sum = sum(math.exp(value / temperature) for value in t)
        s_sum = sum(math.exp(value / temperature) for value in s)
        total -= sum(
            math.exp(a / temperature) / t_sum * math.log(math.exp(b / temperature) / s_sum)
            for a, b in zip(t, s, strict=True)
        )
    loss = soft_target_loss(student, teacher, temperature=temperature)
    assert loss.item() == pytest.approx(temperature**2 * total / len(student), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_one_logit_is_two_classes_of_which_one_has_logit_0(temperature):
    student, teacher = pair(1)
    two = [torch.cat([torch.zeros_like(values), values], dim=1) for values in (student, teacher)]
    torch.testing.assert_close(
        soft_target_loss(student, teacher, temperature=temperature), soft_target_loss(*two, temperature=temperature)
    )
    torch.testing.assert_close(hard_target_loss(student, teacher), hard_target_loss(*two))


@pytest.mark.parametrize("num_outputs", [1, 5])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_gradient_is_the_temperature_times_the_difference_of_softened_probabilities(num_outputs, temperature):
    student, teacher = pair(num_outputs)
    soft_target_loss(student, teacher, temperature=temperature).backward()

    def softened(values: torch.Tensor) -> torch.Tensor:
        return (values / temperature).sigmoid() if num_outputs == 1 else (values / temperature).softmax(dim=1)

    expected = temperature * (softened(student) - softened(teacher)).detach() / len(student)
    torch.testing.assert_close(student.grad, expected)


@pytest.mark.parametrize("num_outputs", [1, 5])
def test_the_gradient_keeps_its_scale_as_the_temperature_grows(num_outputs):
    def gradient(temperature: float) -> torch.Tensor:
        student, teacher = pair(num_outputs)
        soft_target_loss(student, teacher, temperature=temperature).backward()
        return student.grad

    torch.testing.assert_close(gradient(400.0), gradient(200.0), rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("num_outputs", [1, 5])
def test_the_teacher_gets_no_gradient_and_a_perfect_student_none_either(num_outputs):
    student, teacher = pair(num_outputs)
    (soft_target_loss(student, teacher, temperature=2.0) + hard_target_loss(student, teacher)).backward()
    assert teacher.grad is None
    perfect = teacher.detach().clone().requires_grad_()
    soft_target_loss(perfect, teacher, temperature=2.0).backward()
    assert perfect.grad.abs().max().item() < 1e-7


def test_hard_targets_are_the_calls_at_probability_one_half():
    student = torch.tensor([[0.3], [-2.0], [1.0]])
    loss = hard_target_loss(student, torch.tensor([[0.01], [0.0], [-5.0]]))
    expected = -math.log(1 / (1 + math.exp(-0.3))) + math.log(1 + math.exp(-2.0)) + math.log(1 + math.exp(1.0))
    assert loss.item() == pytest.approx(expected / 3)


def test_hard_targets_of_five_logits_are_the_likeliest_grades():
    student, teacher = pair(5)
    expected = -student.log_softmax(dim=1).gather(1, teacher.argmax(dim=1, keepdim=True)).mean()
    torch.testing.assert_close(hard_target_loss(student, teacher), expected)


def test_logits_of_different_shapes_are_refused_rather_than_broadcast():
    with pytest.raises(ValueError, match="one shape"):
        soft_target_loss(torch.ones(4, 1), torch.ones(4), temperature=1.0)
    with pytest.raises(ValueError, match="one shape"):
        hard_target_loss(torch.ones(4, 1), torch.ones(4, 5))
    with pytest.raises(ValueError, match="positive"):
        soft_target_loss(torch.ones(4, 1), torch.ones(4, 1), temperature=0.0)
