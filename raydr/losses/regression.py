"""A prediction shall point where the target's embedding points."""

import torch
import torch.nn.functional as F
from torch import Tensor

from raydr.losses.shapes import check_pair


def direction_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean squared distance of predictions and targets, both scaled to length one (arXiv:2006.07733, eq. 2).

    That is 2 - 2 cos, between 0 and 4. Both are [B, D]; the targets are detached. Rows do not see one another, so the
    mean of the workers' losses is the global batch's. Reckoned in float32 even under autocast.

    Raises:
        ValueError: the shapes differ or are no matrices.
    """
    check_pair(predictions, targets, what="predictions and targets")
    with torch.autocast(predictions.device.type, enabled=False):
        cosine = (F.normalize(predictions.float(), dim=1) * F.normalize(targets.detach().float(), dim=1)).sum(dim=1)
        return (2 - 2 * cosine).mean()
