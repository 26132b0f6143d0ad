"""How a camera and its light render a retina: brightness, contrast, saturation, gamma and hue, in few passes."""

from dataclasses import dataclass
from math import log
from typing import Final

import torch
from torch import Tensor

from raydr.images.transfer import onto

_GREY: Final = (0.2989, 0.587, 0.114)  # ITU-R BT.601 luma, the weights torchvision has
_BLACK: Final = 8 / 255  # JPEG noise around the retina stays below this


@dataclass(frozen=True, slots=True)
class ColourRanges:
    """Between what each image's colours are drawn; the defaults leave them as they are."""

    brightness: float = 0.0
    """The factor is uniform within 1 plus and minus this, at most 1; likewise for contrast and saturation."""
    contrast: float = 0.0
    saturation: float = 0.0
    gamma: tuple[float, float] = (1.0, 1.0)
    """The exponent, log-uniform."""
    hue: float = 0.0
    """The shift is uniform within plus and minus this share of the colour circle."""
    probability: float = 1.0
    """Of changing an image's colours at all, apart from greyscale."""
    greyscale: float = 0.0
    """Probability of taking an image's colours away."""


@dataclass(frozen=True, slots=True)
class Colour:
    """A change of colours for each of B images, applied in this order; each field is [B], None where none changes."""

    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    """0 is greyscale."""
    gamma: Tensor | None = None
    hue: Tensor | None = None


def draw_colour(ranges: ColourRanges, count: int, generator: torch.Generator) -> Colour:
    """Independent parameters for ``count`` images, on the generator's device."""
    chosen, brightness, contrast, saturation, gamma, hue, grey = torch.rand(
        7, count, generator=generator, device=generator.device
    )
    # 1 where the image is to change, so that its range shrinks to the neutral value where it is not.
    is_changed = (chosen < ranges.probability).float()

    def factor(uniform: Tensor, reach: float) -> Tensor:
        within: Tensor = 1 + (2 * uniform - 1) * reach * is_changed
        return within

    exponent = log(ranges.gamma[0]) + (log(ranges.gamma[1]) - log(ranges.gamma[0])) * gamma
    return Colour(
        brightness=factor(brightness, ranges.brightness),
        contrast=factor(contrast, ranges.contrast),
        saturation=factor(saturation, ranges.saturation) * (grey >= ranges.greyscale),
        gamma=None if ranges.gamma == (1.0, 1.0) else (exponent * is_changed).exp(),
        hue=None if not ranges.hue else (2 * hue - 1) * ranges.hue * is_changed,
    )


def apply_colour(image: Tensor, colour: Colour) -> Tensor:
    """RGB images float [B, 3, H, W] in [0, 1] with their colours changed, in [0, 1] again.

    Brightness, contrast and saturation are torchvision's, but one affine map of the colours, cut to [0, 1] once. Other
    than there, contrast pivots on the mean grey of the pixels that are not black, and black stays black: the mask
    around a retina is the camera's and knows no light.
    """
    changed = _affine(image, colour).clamp_(0, 1)
    if colour.gamma is not None:
        # Five times faster than pow on a CPU; the logarithm of black is -inf, and its power 0 again.
        changed = changed.log2_().mul_(_per_image(colour.gamma, image)).exp2_()
    if colour.hue is not None:
        changed = _shift_hue(changed, _per_image(colour.hue, image)[:, 0])
    return changed


def _affine(image: Tensor, colour: Colour) -> Tensor:
    brightness, contrast, saturation = (
        _per_image(factor, image) for factor in (colour.brightness, colour.contrast, colour.saturation)
    )
    gain = brightness * contrast
    red, green, blue = image[:, 0:1], image[:, 1:2], image[:, 2:3]
    grey = (red * _GREY[0]).add_(green, alpha=_GREY[1]).add_(blue, alpha=_GREY[2])
    # 0 on black, 1 on the retina, a ramp between: a step would draw an edge where there is noise.
    retina = image.amax(dim=1, keepdim=True).mul_(1 / _BLACK).clamp_(max=1)
    pivot = (grey * retina).sum(dim=(2, 3), keepdim=True) / retina.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    offset = grey.mul_(gain * (1 - saturation)).addcmul_(retina, brightness * (1 - contrast) * pivot)
    return torch.addcmul(offset, image, gain * saturation)


def _shift_hue(image: Tensor, shift: Tensor) -> Tensor:
    """Images with their HSV hue moved by ``shift`` [B, 1, 1] of the circle, value and saturation kept."""
    red, green, blue = image.unbind(dim=1)
    value = image.amax(dim=1)
    chroma = value - image.amin(dim=1)
    # Which primary leads, as 0 or 1: sums of products take a tenth of the time of torch.where on a CPU.
    is_red, is_green = red.clone().eq_(value), green.clone().eq_(value)
    # The hue in sixths of the circle from the leading primary; grey has none and stays grey.
    hue = torch.lerp(torch.lerp(red - green, blue - red, is_green), green - blue, is_red)
    hue = hue.div_(chroma.clamp(min=1e-8)).add_(torch.lerp(4 - 2 * is_green, torch.zeros_like(value), is_red))
    hue = hue.add_(6 * shift + 6).div_(6)  # 6: never negative, where frac would count backwards
    shifted = torch.empty_like(image)
    for channel, origin in enumerate((5, 3, 1)):
        # HSV to RGB (doi:10.1145/965139.807361) in closed form: how far the channel lies below the leading one.
        sector = (hue + origin / 6).frac_().mul_(6)
        depth = sector.sub_(2).abs_().neg_().add_(2).clamp_(0, 1)
        torch.sub(value, depth.mul_(chroma), out=shifted[:, channel])
    return shifted


def _per_image(parameter: Tensor, image: Tensor) -> Tensor:
    return onto(parameter, image)[:, None, None, None]
