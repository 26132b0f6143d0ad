"""Random views of a batch of fundus photographs, every image with its own parameters, on the device it lies on.

How strong a view may be is physical. A microaneurysm is 50 um, 0.9 px at 224 px: blur beyond half of that erases it.
Red (haemorrhage) against yellow (exudate) is the diagnosis: hue may hardly turn. Two crops of less than a fifth of the
area may share no lesion. A retina has no up or down: flips and rotations cost nothing. Weaker views gave better
features in the one controlled study on fundus photographs (arXiv:2501.02451).
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, TypeVar

import torch
from torch import Tensor

from raydr.images.blur import gaussian_blur
from raydr.images.colour import Colour, ColourRanges, apply_colour, draw_colour
from raydr.images.cutout import Cutout, apply_cutout, draw_cutout
from raydr.images.threads import on_threads
from raydr.images.transfer import sent
from raydr.images.warp import Warp, WarpRanges, apply_warp, draw_warp, samples_needed

Preset = Literal["none", "weak", "weak_medium", "strong", "paper", "paper_crop", "paper_colour"]

_NO_WARP: Final = WarpRanges()
_NO_COLOUR: Final = ColourRanges()
_CHUNK_CELLS: Final = 250_000  # numbers worked on at once on a CPU: 1 MB, so that the passes stay in its cache


@dataclass(frozen=True, slots=True)
class ViewParameters:
    """What happens to each of B images, in this order; None: nothing of the kind to any."""

    warp: Warp | None = None
    colour: Colour | None = None
    blur_sigma: Tensor | None = None
    """[B] as a fraction of the side; 0 leaves the image sharp."""
    cutout: Cutout | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How finely views are taken that have another side than their pictures."""

    side_px: int
    samples: int
    """Points a pixel and axis, as in `apply_warp`."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Draws and applies random views; made by `augmentation`."""

    warp: WarpRanges = _NO_WARP
    colour: ColourRanges = _NO_COLOUR
    blur_probability: float = 0.0
    blur_sigma: tuple[float, float] = (0.0, 0.0)
    """Uniform, as a fraction of the side, so that the same detail goes at every size."""
    cutout_probability: float = 0.0
    cutout_max_area: float = 0.05
    side_px: int | None = None
    """Of the views; None: that of the images."""

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """One view of every image: uint8 [B, 3, S, S] in, float32 [B, 3, V, V] in [0, 1] out, on the images' device.

        The parameters are drawn on the generator's device: one on the CPU gives every device the same views.
        """
        _check(image)
        sampling = None
        if self.side_px is not None and self.side_px != image.shape[-1]:
            samples = samples_needed(self.warp, of_px=image.shape[-1], to_px=self.side_px)
            sampling = Sampling(self.side_px, samples)
        return apply_view(image, self.draw(len(image), generator), sampling)

    def cropped(self, *, area: tuple[float, float], side_px: int) -> "Augmentation":
        """The same of windows of another share of the picture's ``area``, seen with ``side_px`` (arXiv:2006.09882)."""
        if not 0 < area[0] <= area[1] <= 1:
            raise ValueError(f"area {area} must be two shares of the picture, the smaller one first")
        return replace(self, warp=replace(self.warp, area=area), side_px=side_px)

    def draw(self, count: int, generator: torch.Generator) -> ViewParameters:
        """Independent parameters for ``count`` images, on the generator's device."""
        blur_sigma = None
        if self.blur_probability:
            chosen, sigma = torch.rand(2, count, generator=generator, device=generator.device)
            sigma = self.blur_sigma[0] + (self.blur_sigma[1] - self.blur_sigma[0]) * sigma
            blur_sigma = sigma * (chosen < self.blur_probability)
        cutout = None
        if self.cutout_probability:
            cutout = draw_cutout(
                probability=self.cutout_probability,
                max_area=self.cutout_max_area,
                count=count,
                generator=generator,
            )
        return ViewParameters(
            warp=None if self.warp == _NO_WARP and self.side_px is None else draw_warp(self.warp, count, generator),
            colour=None if self.colour == _NO_COLOUR else draw_colour(self.colour, count, generator),
            blur_sigma=blur_sigma,
            cutout=cutout,
        )


@torch.no_grad()
def apply_view(image: Tensor, parameters: ViewParameters, sampling: Sampling | None = None) -> Tensor:
    """Images uint8 [B, 3, S, S] changed as ``parameters`` say, float32 in [0, 1], on the images' device.

    The views have the pictures' side, or that of ``sampling``, which needs a warp among the parameters.
    """
    _check(image)
    if image.device.type != "cpu" or not len(image):
        return _view(image, parameters, sampling)
    side = image.shape[-1] if sampling is None else sampling.side_px
    view = torch.empty((len(image), 3, side, side), dtype=torch.float32)
    count = max(1, _CHUNK_CELLS // image[0].numel())

    @torch.no_grad()
    def put(rows: slice) -> None:
        view[rows] = _view(image[rows], _rows(parameters, rows), sampling)

    on_threads(put, [slice(start, start + count) for start in range(0, len(image), count)])
    return view


def _view(image: Tensor, parameters: ViewParameters, sampling: Sampling | None) -> Tensor:
    view = image.to(torch.float32).div_(255)
    if sampling is not None:
        if parameters.warp is None:
            raise ValueError("parameters must hold a warp: it takes views of another side than the pictures'")
        view = apply_warp(view, parameters.warp, side_px=sampling.side_px, samples=sampling.samples)
    elif parameters.warp is not None:
        view = apply_warp(view, parameters.warp)
    if parameters.colour is not None:
        view = apply_colour(view, parameters.colour)
    if parameters.blur_sigma is not None:
        # Few images are blurred; the choice is read where it was drawn, on the CPU as a rule, so no GPU waits.
        chosen = parameters.blur_sigma.nonzero()[:, 0]
        if len(chosen):
            sigma_px = parameters.blur_sigma[chosen] * view.shape[-1]
            chosen = sent(chosen, view.device)
            view[chosen] = gaussian_blur(view[chosen], sigma_px)
    if parameters.cutout is not None:
        view = apply_cutout(view, parameters.cutout)
    return view.clamp_(0, 1)  # sums of weights round to a little above 1


_P = TypeVar("_P", ViewParameters, Warp, Colour, Cutout)


def _rows(parameters: _P, rows: slice) -> _P:
    """The parameters of some of the images."""

    def part(value: Any) -> Any:
        if value is None or isinstance(value, Tensor):
            return None if value is None else value[rows]
        return _rows(value, rows)

    return type(parameters)(**{field.name: part(getattr(parameters, field.name)) for field in fields(parameters)})


def augmentation(preset: Preset, *, side_px: int | None = None) -> Augmentation:
    """The augmentation of that name, its views with a side of ``side_px``; None: with that of the images.

    ``none``: the picture. ``weak``: what is sure to keep the grade. ``weak_medium``: the default for pretraining.
    ``strong``: as far as is defensible. ``paper``: SimCLR's, as the authors of arXiv:2208.02408 ran it.
    """
    if preset not in _PRESETS:
        raise ValueError(f"augmentation {preset!r} must be one of {', '.join(_PRESETS)}")
    return replace(_PRESETS[preset], side_px=side_px)


def _check(image: Tensor) -> None:
    if image.dtype != torch.uint8 or image.ndim != 4 or image.shape[1] != 3 or image.shape[2] != image.shape[3]:
        raise ValueError(f"image {image.dtype} {tuple(image.shape)} must be uint8 [B, 3, S, S]")


_PAPER_CROP: Final = WarpRanges(area=(0.08, 1), aspect=(3 / 4, 4 / 3), horizontal_flip=0.5)
_PAPER_COLOUR: Final = ColourRanges(
    brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, probability=0.8, greyscale=0.2
)
_PRESETS: Final[dict[Preset, Augmentation]] = {
    "none": Augmentation(),
    "weak": Augmentation(
        # Zoom by the scatter that is left after cropping to the disc.
        WarpRanges(area=(0.87, 1.15), max_rotation_deg=180, horizontal_flip=0.5, vertical_flip=0.5),
        ColourRanges(brightness=0.2, contrast=0.2, saturation=0.1),
    ),
    "weak_medium": Augmentation(
        # At least 0.4 of the area: two views of one eye share most of it.
        WarpRanges((0.4, 1), (0.9, 1.1), in_disc=True, max_rotation_deg=180, horizontal_flip=0.5, vertical_flip=0.5),
        ColourRanges(brightness=0.3, contrast=0.3, saturation=0.2, gamma=(0.8, 1.25), hue=0.03, greyscale=0.05),
        blur_probability=0.1,
        blur_sigma=(0.0, 0.5 / 512),
    ),
    "strong": Augmentation(
        WarpRanges((0.2, 1), (0.8, 1.25), in_disc=True, max_rotation_deg=180, horizontal_flip=0.5, vertical_flip=0.5),
        ColourRanges(brightness=0.5, contrast=0.5, saturation=0.4, gamma=(0.7, 1.4), hue=0.1, greyscale=0.2),
        blur_probability=0.3,
        blur_sigma=(0.0, 1 / 512),
        cutout_probability=0.5,
    ),
    "paper": Augmentation(
        # The authors' code, not their text: no rotation, blur always, 0.1 to 2 px at 224 px. Their jitter shuffles the
        # order of its parts, ours keeps one.
        _PAPER_CROP,
        _PAPER_COLOUR,
        blur_probability=1.0,
        blur_sigma=(0.1 / 224, 2 / 224),
    ),
    # Of their teacher's fine-tuning, and of their distillation.
    "paper_crop": Augmentation(_PAPER_CROP),
    "paper_colour": Augmentation(_PAPER_CROP, _PAPER_COLOUR),
}
