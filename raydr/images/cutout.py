"""Black rectangles over parts of a batch's images, so that no single lesion decides (arXiv:1708.04552)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from raydr.images.transfer import onto


@dataclass(frozen=True, slots=True)
class Cutout:
    """A rectangle for each of B images, in fractions of the side; one without width covers nothing."""

    left: Tensor
    top: Tensor
    width: Tensor
    height: Tensor


def draw_cutout(*, probability: float, max_area: float, count: int, generator: torch.Generator) -> Cutout:
    """Rectangles of up to ``max_area`` of the picture, at most twice as long as wide, on the generator's device."""
    chosen, area, stretch, x, y = torch.rand(5, count, generator=generator, device=generator.device)
    side = (area * max_area * (chosen < probability)).sqrt()
    stretch = 2.0 ** (stretch - 0.5)
    width, height = side * stretch, side / stretch
    return Cutout(left=x * (1 - width), top=y * (1 - height), width=width, height=height)


def apply_cutout(image: Tensor, cutout: Cutout) -> Tensor:
    """Images float [B, C, S, S] with the pixels black whose middles lie in the rectangles."""
    place = (torch.arange(image.shape[-1], device=image.device) + 0.5) / image.shape[-1]
    left, top, width, height = (
        onto(edge, image)[:, None] for edge in (cutout.left, cutout.top, cutout.width, cutout.height)
    )
    is_column = (place >= left) & (place < left + width)
    is_row = (place >= top) & (place < top + height)
    return image.masked_fill(is_row[:, None, :, None] & is_column[:, None, None, :], 0.0)
