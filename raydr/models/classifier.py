"""The network that is trained on labels, and what its logits mean."""

from typing import Literal

from torch import Tensor, nn

from raydr.grades import NUM_GRADES, REFERABLE_GRADE
from raydr.models.backbone import Backbone


class Classifier(nn.Module):
    """A backbone with one linear layer on its features: 1 output (referable or not) or 5 (ICDR grades)."""

    def __init__(self, backbone: Backbone, num_outputs: Literal[1, 5], drop_rate: float = 0.0) -> None:
        super().__init__()
        if num_outputs not in (1, NUM_GRADES):
            raise ValueError(f"num_outputs {num_outputs} must be 1 (referable) or 5 (grades)")
        self.backbone = backbone
        self.dropout = nn.Dropout(drop_rate)
        self.head = nn.Linear(backbone.num_features, num_outputs)

    def features(self, image: Tensor) -> Tensor:
        """Pooled features [B, F] of images [B, 3, S, S] in [0, 1]: what the head sees, before dropout."""
        features: Tensor = self.backbone(image)
        return features

    def logits(self, features: Tensor) -> Tensor:
        """Logits [B, 1] or [B, 5] of features [B, F]; dropout lies between."""
        logits: Tensor = self.head(self.dropout(features))
        return logits

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B, 1] or [B, 5] of images [B, 3, S, S] in [0, 1]."""
        return self.logits(self.features(image))


def referable_probability(logits: Tensor) -> Tensor:
    """Probability [B] of grade >= 2: the sigmoid of logits [B, 1], or the softmax of [B, 5] summed from grade 2 on."""
    _check(logits)
    if logits.shape[1] == 1:
        return logits[:, 0].float().sigmoid()
    return logits.float().softmax(dim=1)[:, REFERABLE_GRADE:].sum(dim=1).clamp(max=1.0)  # rounding: 1.0000001


def referable_log_odds(logits: Tensor) -> Tensor:
    """Log odds [B] of `referable_probability`, exact where that has rounded to 0 or 1 and has no gradient left."""
    _check(logits)
    if logits.shape[1] == 1:
        return logits[:, 0].float()
    wide = logits.float()
    return wide[:, REFERABLE_GRADE:].logsumexp(dim=1) - wide[:, :REFERABLE_GRADE].logsumexp(dim=1)


def grade_probabilities(logits: Tensor) -> Tensor | None:
    """Probabilities [B, 5] of the grades; None for logits [B, 1], which know none."""
    _check(logits)
    return None if logits.shape[1] == 1 else logits.float().softmax(dim=1)


def _check(logits: Tensor) -> None:
    if logits.ndim != 2 or logits.shape[1] not in (1, NUM_GRADES):
        raise ValueError(f"logits {tuple(logits.shape)} must be [B, 1] or [B, 5]")
