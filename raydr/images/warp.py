"""Where a view looks: crop or zoom, flips and rotation as one resampling, so that a picture is blurred only once."""

from dataclasses import dataclass
from math import ceil, log, radians, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from raydr.images.transfer import onto


@dataclass(frozen=True, slots=True)
class WarpRanges:
    """Between what each image's warp is drawn; the defaults leave the picture where it is."""

    area: tuple[float, float] = (1.0, 1.0)
    """The window's share of the picture's area, uniform; above 1 the picture shrinks and black surrounds it."""
    aspect: tuple[float, float] = (1.0, 1.0)
    """The window's width over its height, log-uniform."""
    in_disc: bool = False
    """Windows keep towards the disc that fills the picture, out of the corners, where a retina's picture is black."""
    max_rotation_deg: float = 0.0
    """Rotation is uniform within plus and minus this."""
    horizontal_flip: float = 0.0
    """Probability of mirroring left and right."""
    vertical_flip: float = 0.0
    """Probability of mirroring top and bottom."""


@dataclass(frozen=True, slots=True)
class Warp:
    """A warp for each of B images: the picture is turned about its middle, cut to a window, and mirrored."""

    width: Tensor
    """[B] the window's width as a fraction of the picture's side."""
    height: Tensor
    """[B] its height, likewise."""
    center_x: Tensor
    """[B] its middle from -1 (left edge) to 1 (right edge of the turned picture)."""
    center_y: Tensor
    """[B] its middle from -1 (top) to 1 (bottom)."""
    rotation_deg: Tensor
    """[B] counter-clockwise."""
    mirror_x: Tensor
    """[B] -1 where left and right are exchanged, else 1."""
    mirror_y: Tensor
    """[B] -1 where top and bottom are exchanged, else 1."""


def draw_warp(ranges: WarpRanges, count: int, generator: torch.Generator) -> Warp:
    """Independent parameters for ``count`` images, on the generator's device.

    The window lies anywhere inside the picture (around it, where it is larger), as in arXiv:1409.4842's crops, or with
    ``in_disc`` no farther from the picture's middle in any direction than it can along an axis.
    """
    area, stretch, x, y, turn, flip_x, flip_y = torch.rand(7, count, generator=generator, device=generator.device)
    area = ranges.area[0] + (ranges.area[1] - ranges.area[0]) * area
    stretch = (0.5 * (log(ranges.aspect[0]) + log(ranges.aspect[1] / ranges.aspect[0]) * stretch)).exp()
    # A long window of nearly the whole area would reach beyond the picture, which is wanted only where zooming out is.
    largest = max(1.0, ranges.area[1]) ** 0.5
    width, height = (area.sqrt() * stretch).clamp(max=largest), (area.sqrt() / stretch).clamp(max=largest)
    x, y = 2 * x - 1, 2 * y - 1
    if ranges.in_disc:  # the square onto the disc by the elliptical grid of arXiv:1509.06344
        x, y = x * (1 - y.square() / 2).sqrt(), y * (1 - x.square() / 2).sqrt()
    return Warp(
        width=width,
        height=height,
        center_x=x * (1 - width).abs(),
        center_y=y * (1 - height).abs(),
        rotation_deg=(2 * turn - 1) * ranges.max_rotation_deg,
        mirror_x=1 - 2 * (flip_x < ranges.horizontal_flip).float(),
        mirror_y=1 - 2 * (flip_y < ranges.vertical_flip).float(),
    )


def apply_warp(image: Tensor, warp: Warp, *, side_px: int | None = None, samples: int = 1) -> Tensor:
    """Images float [B, C, S, S] seen through their warps: one bilinear resampling, black outside the picture.

    ``side_px`` is the views' side, the images' own where it is None. Each pixel of a view is the mean of ``samples``
    times ``samples`` points: a window larger than the view needs at least so many as it shrinks, or details fall
    between the points and alias. `samples_needed` says how many.
    """
    x, y = warp.width * warp.mirror_x, warp.height * warp.mirror_y
    angle = warp.rotation_deg * radians(1.0)
    cosine, sine = angle.cos(), angle.sin()
    # From a place in the view to its place in the picture: mirror and scale, shift to the window, turn back.
    across = torch.stack([cosine * x, -sine * y, cosine * warp.center_x - sine * warp.center_y], dim=1)
    down = torch.stack([sine * x, cosine * y, sine * warp.center_x + cosine * warp.center_y], dim=1)
    of_x, of_y, shift = onto(torch.stack([across, down], dim=1), image).unsqueeze(-1).unbind(dim=2)
    side = (side_px or image.shape[-1]) * samples
    place = (2 * torch.arange(side, device=image.device, dtype=image.dtype) + 1) / side - 1
    # The map is affine, so a row's and a column's part add up: several times faster than affine_grid's matrix product.
    grid = ((of_x * place)[:, :, None] + (of_y * place + shift)[..., None]).permute(0, 2, 3, 1)
    view = F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return view if samples == 1 else F.avg_pool2d(view, samples)


def samples_needed(ranges: WarpRanges, *, of_px: int, to_px: int) -> int:
    """Points a pixel and axis with which no window of these ranges aliases from a side of ``of_px`` to ``to_px``.

    It goes by the largest window, not by each image's own: a view must not depend on its neighbours in the batch.
    """
    stretch = max(ranges.aspect[1], 1 / ranges.aspect[0])
    largest = sqrt(min(max(1.0, ranges.area[1]), ranges.area[1] * stretch))
    return max(1, ceil(largest * of_px / to_px - 1e-6))  # rounding must not ask for one more
