"""Distillation that weighs what a teacher says of the right grade and of the others apart; five grades only."""

import torch
import torch.nn.functional as F
from torch import Tensor

from raydr.losses.shapes import check_classes, check_temperature


def decoupled_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    target: Tensor,
    *,
    temperature: float,
    target_weight: float = 1.0,
    other_weight: float = 8.0,
) -> Tensor:
    """T^2 times the mean of alpha TCKD + beta NCKD, decoupled knowledge distillation (arXiv:2203.08679, eq. 7).

    TCKD is the divergence between teacher's and student's (p_target, 1 - p_target), NCKD that between their
    distributions over the other classes. With one logit there is but one other class, and NCKD is 0 whatever the
    student says: the loss is refused there.

    Args:
        student_logits: [B, K], K at least 3.
        teacher_logits: [B, K]; detached.
        target: int64 [B], the class that counts as right: the true one, or the teacher's where none is known.
        temperature: Softens both; above 0.
        target_weight: alpha.
        other_weight: beta; the authors take 8 on small pictures, 0.5 at temperature 1 on ImageNet.
    """
    check_classes(student_logits, teacher_logits, loss="decoupled distillation")
    check_temperature(temperature)
    student, teacher = student_logits.float() / temperature, teacher_logits.detach().float() / temperature
    is_target = F.one_hot(target, student.shape[1]).bool()
    log_student, log_teacher = student.log_softmax(dim=1), teacher.log_softmax(dim=1)
    right = _divergence(_two_classes(log_student, is_target), _two_classes(log_teacher, is_target))
    others = _divergence(_without(student, is_target), _without(teacher, is_target))
    return temperature**2 * (target_weight * right + other_weight * others).mean()


def _two_classes(log_probability: Tensor, is_target: Tensor) -> Tensor:
    """Log probabilities [B, 2] of the target and of all others together."""
    of_target = log_probability.masked_select(is_target)
    others = log_probability.masked_fill(is_target, float("-inf")).logsumexp(dim=1)
    return torch.stack([of_target, others], dim=1)


def _without(logits: Tensor, is_target: Tensor) -> Tensor:
    """Log probabilities [B, K - 1] among the classes other than the target."""
    return logits[~is_target].view(len(logits), -1).log_softmax(dim=1)


def _divergence(log_student: Tensor, log_teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence [B] of the student from the teacher."""
    return F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(dim=1)
