"""What the student says of any crop shall be what the teacher says of another one."""

import torch
from torch import Tensor

from raydr.losses.shapes import check_temperature


def centred_targets(logits: Tensor, *, centre: Tensor, temperature: Tensor | float) -> Tensor:
    """The teacher's distributions [..., K]: its logits centred and sharpened (arXiv:2104.14294, eq. 1, algorithm 1).

    The centre [K] keeps one prototype from taking all, a low ``temperature`` keeps all from being alike. The
    logits are detached; reckoned in float32.
    """
    return ((logits.detach().float() - centre) / temperature).softmax(dim=-1)


def moved_centre(centre: Tensor, mean_logits: Tensor, *, momentum: float) -> Tensor:
    """The centre [K] moved towards the mean of the teacher's logits [K] over all images and workers (eq. 4)."""
    return centre * momentum + mean_logits.detach().float() * (1 - momentum)


def cross_view_loss(student_logits: Tensor, targets: Tensor, *, temperature: float) -> Tensor:
    """Mean cross-entropy over all pairs of a teacher's crop and another crop of the student's (eq. 2 and 3).

    Student's logits are [B, V, K], targets [B, T, K] with T <= V: the teacher's crops are the student's first ones,
    and a crop is not compared with itself. The mean over the pairs is the authors' code's; eq. 3 as printed sums.
    ``temperature`` must be positive. Reckoned in float32 even under autocast.
    """
    check_temperature(temperature)
    batch, num_crops, width = student_logits.shape if student_logits.ndim == 3 else (0, 0, 0)
    fits = targets.ndim == 3 and targets.shape[0] == batch and targets.shape[2] == width
    if not (fits and 1 <= targets.shape[1] <= num_crops and num_crops >= 2):
        raise ValueError(
            f"student's logits {tuple(student_logits.shape)} must be [B, V, K] with V >= 2 and targets "
            f"{tuple(targets.shape)} [B, T, K] with T <= V"
        )
    with torch.autocast(student_logits.device.type, enabled=False):
        log_probability = (student_logits.float() / temperature).log_softmax(dim=-1)
        loss = -torch.einsum("btk,bvk->tv", targets.float(), log_probability) / batch
    same = loss.diagonal().sum()
    return (loss.sum() - same) / (loss.numel() - len(loss.diagonal()))
