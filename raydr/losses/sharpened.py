"""Distillation from a teacher made more certain of itself."""

import torch.nn.functional as F
from torch import Tensor

from raydr.losses.shapes import check_pair


def sharpened_target_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """Mean cross-entropy with the teacher's probabilities raised to 1 / T and normalised (arXiv:1905.02249, eq. 7).

    The student's logits stay as they are. T = 1 leaves the teacher's probabilities, towards 0 they become its calls:
    the way between soft and hard targets.

    Args:
        student_logits: [B, 1] (sigmoid) or [B, K] (softmax).
        teacher_logits: The same shape; detached.
        temperature: In (0, 1]; the authors take 0.5.
    """
    check_pair(student_logits, teacher_logits)
    if not 0 < temperature <= 1:
        raise ValueError(f"temperature {temperature} must be above 0 and at most 1 to sharpen")
    student, teacher = student_logits.float(), teacher_logits.detach().float() / temperature
    if student.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(student, teacher.sigmoid())
    return F.cross_entropy(student, teacher.softmax(dim=1))
