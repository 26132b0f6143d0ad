"""The student's loss against its teacher, from one logit (referable or not) or five (grades)."""

import torch.nn.functional as F
from torch import Tensor

from raydr.losses.shapes import check_pair, check_temperature


def soft_target_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """T^2 times the mean cross-entropy with the teacher's probabilities, both softened by T (arXiv:1503.02531, sec. 2).

    Logits are [B, 1] (sigmoid) or [B, K] (softmax); the teacher's are detached. The factor T^2 keeps the gradient's
    scale as T grows. The teacher's entropy is in it: the loss of a perfect student is T^2 times that entropy, not 0.
    """
    check_pair(student_logits, teacher_logits)
    check_temperature(temperature)
    student, teacher = student_logits.float() / temperature, teacher_logits.detach().float() / temperature
    if student.shape[1] == 1:
        return temperature**2 * F.binary_cross_entropy_with_logits(student, teacher.sigmoid())
    return temperature**2 * F.cross_entropy(student, teacher.softmax(dim=1))


def hard_target_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean cross-entropy with the teacher's calls (arXiv:2208.02408): probability above 0.5, or the likeliest grade.

    Logits are [B, 1] or [B, K]; the teacher's are detached.
    """
    check_pair(student_logits, teacher_logits)
    student, teacher = student_logits.float(), teacher_logits.detach()
    if student.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(student, (teacher > 0).float())  # logit 0 is probability 0.5
    return F.cross_entropy(student, teacher.argmax(dim=1))
