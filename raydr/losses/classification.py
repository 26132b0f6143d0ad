"""The loss on true labels: referable diabetic retinopathy (grade >= 2) from one logit, or five ICDR grades."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from raydr.grades import NUM_GRADES, REFERABLE_GRADE


def label_loss(logits: Tensor, grade: Tensor, *, weights: Tensor | None) -> Tensor:
    """Mean cross-entropy over the rows that have a grade; exactly 0, with zero gradients, where none has.

    Logits are [B, 1] (referable or not) or [B, 5] (grades); grade is int64 [B] with -1 for unlabelled. ``weights``, [2]
    or [5], weighs each row by its class; the sum is divided by the number of labelled rows, not by their weights, so
    that the mean over workers is the whole batch's loss where each has equally many labelled ones.
    """
    if logits.ndim != 2 or logits.shape[1] not in (1, NUM_GRADES) or grade.shape != logits.shape[:1]:
        raise ValueError(f"logits {tuple(logits.shape)} must be [B, 1] or [B, 5] and grade {tuple(grade.shape)} [B]")
    logits = logits.float()
    if logits.shape[1] == 1:
        target = (grade >= REFERABLE_GRADE).long()
        losses = F.binary_cross_entropy_with_logits(logits[:, 0], target.float(), reduction="none")
    else:
        target = grade.clamp(min=0)
        losses = F.cross_entropy(logits, target, reduction="none")
    row_weight = (grade >= 0).float()
    count = row_weight.sum().clamp(min=1)
    if weights is not None:
        if weights.shape != (max(2, logits.shape[1]),):
            raise ValueError(f"weights {tuple(weights.shape)} must hold one weight for each class")
        row_weight = row_weight * weights.to(losses)[target]
    # Never a branch on the data: every worker must run the same backward, and a GPU must not wait for the answer.
    return (losses * row_weight).sum() / count


def balanced_weights(grades: NDArray[np.int64], num_outputs: Literal[1, 5]) -> Tensor:
    """Inverse frequency of each class among the labelled (grade >= 0), as float32 [2] or [5].

    Every class that occurs weighs the same in total, and the mean weight over the labelled images is 1, so that the
    loss keeps its scale. A class that does not occur gets 0: there is no frequency to invert, and the others must not
    shrink for it. ValueError where nothing is labelled.
    """
    labelled = np.asarray(grades)[np.asarray(grades) >= 0]
    if not len(labelled):
        raise ValueError("no image is labelled: there are no classes to balance")
    classes = (labelled >= REFERABLE_GRADE).astype(np.int64) if num_outputs == 1 else labelled
    counts = np.bincount(classes, minlength=max(2, num_outputs))
    occurs = counts > 0
    weights = np.zeros(len(counts))
    weights[occurs] = len(labelled) / (occurs.sum() * counts[occurs])
    return torch.from_numpy(weights).float()
