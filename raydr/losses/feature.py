"""Distillation of a teacher's features."""

import torch.nn.functional as F
from torch import Tensor

from raydr.losses.shapes import check_pair


def feature_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """Mean of 1 - cosine between the student's features, projected to the teacher's width, and the teacher's.

    In [0, 2]; half the squared distance of features of unit length, as in arXiv:1412.6550's hints up to their scale.
    Both are [B, D]; the teacher's are detached. Works for one logit and for five grades alike.
    """
    check_pair(student_features, teacher_features, what="student and teacher features")
    return (1 - F.cosine_similarity(student_features.float(), teacher_features.detach().float(), dim=1)).mean()
