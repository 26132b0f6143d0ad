"""A network shall say of a strong view what it surely says of a weak one."""

import torch.nn.functional as F
from torch import Tensor

from raydr.losses.shapes import check_pair


def consistency_loss(strong_logits: Tensor, weak_logits: Tensor, *, threshold: float) -> Tensor:
    """Cross-entropy with the weak view's calls where these are sure, over all rows (FixMatch, arXiv:2001.07685, eq. 4).

    Logits are [B, 1] or [B, K]; the weak view's are detached. A call counts where its probability is at least
    ``threshold`` in (0, 1]; the sum is divided by all rows, so that few sure calls weigh little.
    """
    check_pair(strong_logits, weak_logits, what="logits of strong and weak views")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold} must be above 0 and at most 1")
    strong, weak = strong_logits.float(), weak_logits.detach().float()
    if strong.shape[1] == 1:
        probability = weak.sigmoid()
        confidence = probability.maximum(1 - probability)[:, 0]
        losses = F.binary_cross_entropy_with_logits(strong, (weak > 0).float(), reduction="none")[:, 0]
    else:
        confidence, call = weak.softmax(dim=1).max(dim=1)
        losses = F.cross_entropy(strong, call, reduction="none")
    return (losses * (confidence >= threshold)).mean()
