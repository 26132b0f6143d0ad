"""The hidden parts of a picture shall be told from the visible ones."""

import torch
from torch import Tensor


def patches(image: Tensor, *, side_px: int) -> Tensor:
    """The square patches of images [B, C, S, S] row by row, [B, (S / side)^2, side^2 * C], the channels last.

    ValueError unless S is a multiple of ``side_px``.
    """
    if image.ndim != 4 or image.shape[2] != image.shape[3] or image.shape[2] % side_px:
        raise ValueError(f"image {tuple(image.shape)} must be [B, C, S, S] with S a multiple of {side_px}")
    count = image.shape[2] // side_px
    parts = image.reshape(*image.shape[:2], count, side_px, count, side_px)
    return parts.permute(0, 2, 4, 3, 5, 1).reshape(len(image), count * count, side_px * side_px * image.shape[1])


def standardised(patch: Tensor, *, epsilon: float = 1e-6) -> Tensor:
    """Patches [..., P] each with its own mean taken off and divided by its own deviation (arXiv:2111.06377, section 3).

    The variance is the unbiased one, as in the authors' code; ``epsilon`` keeps a patch of one colour at 0.
    """
    variance, mean = torch.var_mean(patch.float(), dim=-1, keepdim=True)
    return (patch.float() - mean) / (variance + epsilon).sqrt()


def masked_error(prediction: Tensor, target: Tensor, is_hidden: Tensor) -> Tensor:
    """Mean squared error [] over the hidden patches only (arXiv:2111.06377, section 3, "reconstruction target").

    Prediction and target are [B, N, P], ``is_hidden`` bool [B, N] with equally many in every row, so that the mean over
    workers is the global batch's.
    """
    if prediction.ndim != 3 or prediction.shape != target.shape or is_hidden.shape != prediction.shape[:2]:
        raise ValueError(
            f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} must be [B, N, P], "
            f"is_hidden {tuple(is_hidden.shape)} [B, N]"
        )
    error = (prediction.float() - target.float()).square().mean(dim=2)
    return (error * is_hidden).sum() / is_hidden.sum()
