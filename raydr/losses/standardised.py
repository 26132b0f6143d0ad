"""Distillation of the shape of a teacher's logits, whatever their scale; five grades only."""

import torch.nn.functional as F
from torch import Tensor

from raydr.losses.shapes import check_classes, check_temperature


def standardised_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """T^2 times the mean divergence of softened, standardised logits (arXiv:2403.01427, eq. 10 and algorithm 2).

    Each row is brought to mean 0 and standard deviation 1 first, so that a student need not match its teacher's
    confidence, only the order and the proportions of its logits. Two standardised logits are always the same two
    numbers: the loss is refused with fewer than three classes.

    Args:
        student_logits: [B, K], K at least 3.
        teacher_logits: [B, K]; detached.
        temperature: Base temperature, above 0; the authors take 2.
    """
    check_classes(student_logits, teacher_logits, loss="logit standardisation")
    check_temperature(temperature)
    student = (_standardised(student_logits.float()) / temperature).log_softmax(dim=1)
    teacher = (_standardised(teacher_logits.detach().float()) / temperature).log_softmax(dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def _standardised(logits: Tensor) -> Tensor:
    # The authors' code: the sample's deviation, kept off 0 for logits that are all alike.
    return (logits - logits.mean(dim=1, keepdim=True)) / (logits.std(dim=1, keepdim=True) + 1e-7)
