"""Gaussian blur of a batch in which every image has its own width."""

from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from raydr.images.transfer import onto


def gaussian_blur(image: Tensor, sigma_px: Tensor) -> Tensor:
    """Images float [B, C, S, S] under Gaussians of standard deviation ``sigma_px`` [B] >= 0; 0 changes nothing.

    The picture goes on beyond its edge as its mirror image, as in torchvision. A kernel reaches to three standard
    deviations, at most to the picture's other edge.
    """
    reach = min(ceil(3 * float(sigma_px.max())), image.shape[-1] - 1)
    place = torch.arange(reach + 1, device=sigma_px.device, dtype=torch.float32)
    weights = (-0.5 * (place / sigma_px.float().clamp(min=1e-3)[:, None]).square()).exp()
    weights *= place <= (3 * sigma_px.float()[:, None]).ceil()  # its own reach, whatever its neighbours'
    weights = onto(weights / (2 * weights.sum(dim=1, keepdim=True) - weights[:, :1]), image)
    return _blur_along(_blur_along(image, weights, axis=-1), weights, axis=-2)


def _blur_along(image: Tensor, weights: Tensor, *, axis: int) -> Tensor:
    """Images convolved along one axis with symmetric kernels, of which ``weights`` [B, R + 1] is one half."""
    # Shifted sums: a grouped convolution with a kernel for each image is several times slower on a CPU.
    reach, side = weights.shape[1] - 1, image.shape[axis]
    margins = (reach, reach, 0, 0) if axis == -1 else (0, 0, reach, reach)
    padded = F.pad(image, margins, mode="reflect")
    taps = weights.T[:, :, None, None, None]
    blurred = image * taps[0]
    for shift in range(1, reach + 1):
        before, after = padded.narrow(axis, reach - shift, side), padded.narrow(axis, reach + shift, side)
        blurred.addcmul_(before + after, taps[shift])
    return blurred
