"""The contenders of `bench_train.py` that make views: the same operations, as strong, by other libraries.

All take pictures uint8 [B, 3, S, S] and return views float32 [B, 3, S, S] in [0, 1]: turned, cropped, mirrored, other
brightness, contrast, saturation, hue, gamma, some grey, some blurred. Rotation and crop are two resamplings in
torchvision and in kornia's `RandomRotation` and `RandomResizedCrop`, one in raydr and in kornia's `RandomAffine`.
"""

import time
from collections.abc import Callable
from math import ceil

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from raydr.images.augment import Augmentation

Views = Callable[[Tensor], Tensor]


class RandomGamma(nn.Module):
    """Gamma, log-uniform: torchvision has the function, but no transform that draws it."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self._draw = torch.distributions.Uniform(torch.tensor(low).log(), torch.tensor(high).log())

    def forward(self, picture: object) -> object:
        """The picture, a tensor or Pillow's."""
        return tv.adjust_gamma(picture, float(self._draw.sample().exp()))


def torchvision_steps(ranges: Augmentation, side_px: int) -> list[nn.Module]:
    """What a user of torchvision's v2 writes down, for one picture, a tensor or Pillow's."""
    warp, colour = ranges.warp, ranges.colour
    sigma_px = [max(1e-3, share * side_px) for share in ranges.blur_sigma]
    jitter = v2.ColorJitter(colour.brightness, colour.contrast, colour.saturation, colour.hue)
    blur = v2.GaussianBlur(2 * ceil(3 * sigma_px[1]) + 1, sigma_px)
    gamma = [] if colour.gamma == (1.0, 1.0) else [RandomGamma(*colour.gamma)]
    turn = [v2.RandomRotation(warp.max_rotation_deg, v2.InterpolationMode.BILINEAR)] if warp.max_rotation_deg else []
    return [
        *turn,
        v2.RandomResizedCrop(side_px, scale=warp.area, ratio=warp.aspect),
        v2.RandomHorizontalFlip(warp.horizontal_flip),
        v2.RandomVerticalFlip(warp.vertical_flip),
        v2.RandomApply([jitter, *gamma], p=colour.probability),
        v2.RandomGrayscale(colour.greyscale),
        v2.RandomApply([blur], p=ranges.blur_probability),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
    ]


def raydr_views(ranges: Augmentation) -> Views:
    """Raydr's own, parameters drawn on the CPU as in training."""
    generator = torch.Generator().manual_seed(0)
    return lambda image: ranges(image, generator)


def torchvision_views(ranges: Augmentation, side_px: int) -> Views:
    """One tensor at a time, 8 bits up to the last step, as torchvision's guide says is fastest."""
    view = v2.Compose(torchvision_steps(ranges, side_px))
    return lambda image: torch.stack([view(one) for one in image])


def pillow_views(ranges: Augmentation, side_px: int) -> Views:
    """One picture of Pillow's at a time; making it of a tensor is counted, which a loader of files would not need."""
    view = v2.Compose([v2.ToPILImage(), *torchvision_steps(ranges, side_px)])
    return lambda image: torch.stack([view(one) for one in image])


def kornia_views(ranges: Augmentation, side_px: int, *, one_warp: bool) -> Views:
    """Kornia's batched augmentation; ``one_warp``: rotation, zoom and shift as one affine map."""
    import kornia.augmentation as ka

    warp, colour = ranges.warp, ranges.colour
    if one_warp:
        zoom = (1 / warp.area[1] ** 0.5, 1 / warp.area[0] ** 0.5)
        where = [ka.RandomAffine(warp.max_rotation_deg, translate=(0.18, 0.18), scale=zoom, p=1.0)]
    else:
        size = (side_px, side_px)
        where = [
            ka.RandomRotation(warp.max_rotation_deg, align_corners=False, p=1.0),
            ka.RandomResizedCrop(size, scale=warp.area, ratio=warp.aspect, align_corners=False),
        ]
    sigma_px = tuple(max(1e-3, share * side_px) for share in ranges.blur_sigma)
    reach = 2 * ceil(3 * sigma_px[1]) + 1
    view = ka.AugmentationSequential(
        *where,
        ka.RandomHorizontalFlip(p=warp.horizontal_flip),
        ka.RandomVerticalFlip(p=warp.vertical_flip),
        # As torchvision's; kornia's `ColorJiggle` adds brightness, which lights up the black around a retina.
        ka.ColorJitter(colour.brightness, colour.contrast, colour.saturation, colour.hue, p=colour.probability),
        ka.RandomGamma(colour.gamma, p=colour.probability),
        ka.RandomGrayscale(p=colour.greyscale),
        ka.RandomGaussianBlur((reach, reach), sigma_px, p=ranges.blur_probability),
        data_keys=["input"],
    )

    @torch.no_grad()
    def views(image: Tensor) -> Tensor:
        made: Tensor = view(image.float().div_(255))
        return made.clamp_(0, 1)

    return views


def views_per_s(views: Views, image: Tensor, *, repeats: int, threads: int) -> float:
    """Pictures a second, on the pictures' device and on so many CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        views(image)
        _settle(image)
        started = time.perf_counter()
        for _ in range(repeats):
            views(image)
        _settle(image)
        return repeats * len(image) / (time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)


def _settle(image: Tensor) -> None:
    """Wait for what has been launched."""
    if image.device.type == "cuda":
        torch.cuda.synchronize(image.device)
