"""Trained classifiers that judge as one."""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raydr.models.classifier import Classifier


class Ensemble(nn.Module):
    """One classifier or several with equally many outputs, frozen: they stay in evaluation mode whatever is asked.

    Each normalises pictures for itself, as it was trained to.
    """

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        widths = {member.head.out_features for member in members}
        if len(widths) != 1:
            raise ValueError(f"{len(members)} classifiers with {sorted(widths)} outputs: the same number is wanted")
        self.members = nn.ModuleList(members).requires_grad_(requires_grad=False)
        self.num_features = sum(member.backbone.num_features for member in members)
        self.eval()

    def train(self, mode: bool = True) -> "Ensemble":  # noqa: ARG002, FBT001, FBT002  # nn.Module's signature
        """Nothing: batch statistics of the pictures at hand would make a judgement depend on its neighbours."""
        return super().train(mode=False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean logits [B, outputs] and features [B, num_features] of images [B, 3, S, S] in [0, 1], float32.

        The features are the members' side by side, each member's of unit length, so that none outweighs the others.
        """
        members = cast(Sequence[Classifier], self.members)
        features = [member.features(image) for member in members]
        logits = [member.logits(found).float() for member, found in zip(members, features, strict=True)]
        side_by_side = torch.cat([F.normalize(found.float(), dim=1) for found in features], dim=1)
        return torch.stack(logits).mean(dim=0), side_by_side
