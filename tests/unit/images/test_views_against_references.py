"""Whole views against torchvision one image at a time, and every part against a literal sum and against kornia."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from raydr.images.augment import ViewParameters, apply_view, augmentation
from raydr.images.blur import gaussian_blur
from raydr.images.colour import Colour, apply_colour
from raydr.images.cutout import Cutout, apply_cutout
from raydr.images.warp import Warp, WarpRanges, apply_warp, draw_warp

SIDE, COUNT = 128, 6


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(low: float, high: float, seed: int) -> Tensor:
    return low + (high - low) * torch.rand(COUNT, generator=seeded(seed))


def smooth_pictures() -> Tensor:
    """Waves without symmetry, uint8, neither so dark nor so bright that a change of colours would cut them off."""
    place = torch.linspace(0, 3, SIDE)
    waves = [
        torch.sin(place * (channel + 1) + 0.5 * place[:, None] * (number % 3 + 1) + channel + number) * 0.1 + 0.45
        for number in range(COUNT)
        for channel in range(3)
    ]
    return (torch.stack(waves).view(COUNT, 3, SIDE, SIDE) * 255).round().to(torch.uint8)


def windows_px() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Left, top, width and height in pixels, near enough to the middle to hold no black at any rotation."""
    draw = [torch.randint(low, high, (COUNT,), generator=seeded(low)) for low, high in ((28, 40), (27, 41), (48, 60))]
    return draw[0], draw[1], draw[2], draw[2] - 8


def test_a_view_is_what_torchvision_makes_one_image_at_a_time():
    images, (left, top, width, height) = smooth_pictures(), windows_px()
    rotation, mirror = uniform(-180, 180, 1), torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    colour = Colour(*(uniform(0.85, 1.15, seed) for seed in (2, 3, 4)), uniform(0.8, 1.25, 5), uniform(-0.1, 0.1, 6))
    sigma_px = torch.tensor([0.0, 0.5, 1.0, 0.0, 1.5, 0.8])
    erased = torch.tensor([20, 30, 40, 50, 60, 70])
    warp = Warp(
        width=width / SIDE,
        height=height / SIDE,
        center_x=(2 * left + width) / SIDE - 1,
        center_y=(2 * top + height) / SIDE - 1,
        rotation_deg=rotation,
        mirror_x=mirror,
        mirror_y=-mirror,
    )
    cutout = Cutout(*(part / SIDE for part in (erased, erased + 3, torch.full((COUNT,), 16), torch.full((COUNT,), 9))))
    views = apply_view(images, ViewParameters(warp, colour, sigma_px / SIDE, cutout))
    assert colour.gamma is not None
    assert colour.hue is not None
    for number, image in enumerate(images / 255):
        made = tv.rotate(image, float(rotation[number]), interpolation=InterpolationMode.BILINEAR)
        corner = [int(edge[number]) for edge in (top, left, height, width)]
        made = tv.resized_crop(made, *corner, [SIDE, SIDE], antialias=False)
        made = tv.horizontal_flip(made) if mirror[number] < 0 else tv.vertical_flip(made)
        made = tv.adjust_brightness(made, float(colour.brightness[number]))
        made = tv.adjust_contrast(made, float(colour.contrast[number]))
        made = tv.adjust_saturation(made, float(colour.saturation[number]))
        made = tv.adjust_hue(tv.adjust_gamma(made, float(colour.gamma[number])), float(colour.hue[number]))
        if sigma_px[number]:
            reach = math.ceil(3 * float(sigma_px[number]))
            made = tv.gaussian_blur(made, [2 * reach + 1] * 2, [float(sigma_px[number])] * 2)
        made = tv.erase(made, int(erased[number]) + 3, int(erased[number]), 9, 16, torch.zeros(1))
        # Torchvision resamples twice, and at a window's edge it repeats the last pixel where the picture goes on.
        difference = (views[number] - made).abs()[:, 6:-6, 6:-6]
        assert difference.max() < 0.02
        assert difference.mean() < 0.003


def literal_places(warp: Warp, side: int) -> np.ndarray:
    """Where each pixel of each view lies in its picture, in pixels: [B, S, S, 2], by trigonometry in float64."""
    place = (2 * np.arange(side) + 1) / side - 1
    fields = ("width", "height", "center_x", "center_y", "rotation_deg", "mirror_x", "mirror_y")
    found = []
    for values in zip(*(getattr(warp, name).double().tolist() for name in fields), strict=True):
        width, height, center_x, center_y, turn, mirror_x, mirror_y = values
        x, y = np.meshgrid(place * width * mirror_x + center_x, place * height * mirror_y + center_y)
        angle = math.radians(turn)
        back = (x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle))
        found.append(np.stack(back, axis=-1))
    return ((np.stack(found) + 1) * side - 1) / 2


def literal_bilinear(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A picture [C, S, S] at places [S, S, 2], four neighbours weighed, black outside."""
    framed = np.pad(picture, ((0, 0), (1, 2), (1, 2)))
    x, y = (np.clip(places[..., axis], -1, picture.shape[-1]) for axis in (0, 1))
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    right, down = x - column, y - row
    return sum(
        framed[:, row + 1 + below, column + 1 + beside]
        * (down if below else 1 - down)
        * (right if beside else 1 - right)
        for below in (0, 1)
        for beside in (0, 1)
    )


@pytest.mark.parametrize("ranges", [WarpRanges(area=(0.2, 1), aspect=(0.8, 1.25)), WarpRanges(area=(1.0, 1.6))])
def test_a_warp_is_the_four_neighbours_sum_to_the_last_pixel_of_the_border(ranges):
    side = 37
    image = torch.rand(COUNT, 3, side, side, generator=seeded())
    turned = WarpRanges(ranges.area, ranges.aspect, 180.0, horizontal_flip=0.5, vertical_flip=0.5)
    warp = draw_warp(turned, COUNT, seeded(1))
    expected = np.stack(
        [
            literal_bilinear(picture, places)
            for picture, places in zip(image.double().numpy(), literal_places(warp, side), strict=True)
        ]
    )
    np.testing.assert_allclose(apply_warp(image, warp).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("preset", ["weak", "weak_medium", "strong", "paper"])
def test_nothing_leaks_over_the_pictures_border_and_no_seam_lies_within(preset):
    warp = augmentation(preset).draw(64, seeded()).warp
    view = apply_view(torch.full((64, 3, 48, 48), 255, dtype=torch.uint8), ViewParameters(warp=warp)).numpy()
    assert warp is not None
    places = literal_places(warp, 48)
    beyond = (
        np.maximum(-places, places - 47).max(axis=-1)[:, None].repeat(3, axis=1)
    )  # px outside the last pixel's middle
    assert (view[beyond <= -1e-3] > 1 - 1e-4).all()
    assert (view[beyond >= 1 + 1e-3] == 0).all()


def matrices(warp: Warp, side: int) -> Tensor:
    """Pixel of the picture to pixel of the view, [B, 2, 3], as kornia has it: through three literal places."""
    places = literal_places(warp, side)
    origin, beside, below = places[:, 0, 0], places[:, 0, 1], places[:, 1, 0]
    back = np.zeros((len(places), 3, 3))
    back[:, :2, 0], back[:, :2, 1], back[:, :2, 2], back[:, 2, 2] = beside - origin, below - origin, origin, 1
    return torch.from_numpy(np.linalg.inv(back)[:, :2]).float()


def test_warp_is_kornias():
    geometry = pytest.importorskip("kornia.geometry", reason="needs the extra `bench`")
    image = smooth_pictures() / 255
    warp = draw_warp(WarpRanges((0.4, 1.3), (0.9, 1.1), 180.0, 0.5, 0.5), COUNT, seeded(3))
    expected = geometry.warp_affine(image, matrices(warp, SIDE), (SIDE, SIDE), align_corners=True)
    # Kornia's `align_corners` names pixels' middles, ours their edges: only where black begins do they differ.
    inside = geometry.warp_affine(torch.ones_like(image), matrices(warp, SIDE), (SIDE, SIDE), align_corners=True) == 1
    difference = (apply_warp(image, warp) - expected).abs()[inside]
    assert inside.float().mean() > 0.5
    assert difference.max() < 1e-3


def test_colours_are_kornias():
    enhance = pytest.importorskip("kornia.enhance", reason="needs the extra `bench`")
    image, neutral = smooth_pictures() / 255, torch.ones(COUNT)
    gamma, hue, factor = uniform(0.7, 1.4, 1), uniform(-0.2, 0.2, 2), uniform(0.8, 1.2, 3)
    pairs = {
        "gamma": (Colour(neutral, neutral, neutral, gamma=gamma), enhance.adjust_gamma(image, gamma)),
        "hue": (Colour(neutral, neutral, neutral, hue=hue), enhance.adjust_hue(image, 2 * math.pi * hue)),
        "brightness": (Colour(factor, neutral, neutral), enhance.adjust_brightness_accumulative(image, factor)),
        "contrast": (
            Colour(neutral, factor, neutral),
            enhance.adjust_contrast_with_mean_subtraction(image, factor),
        ),
        "saturation": (
            Colour(neutral, neutral, factor),
            enhance.adjust_saturation_with_gray_subtraction(image, factor),
        ),
    }
    for name, (colour, expected) in pairs.items():
        torch.testing.assert_close(
            apply_colour(image, colour), expected, atol=1e-4, rtol=0, msg=lambda m, n=name: n + m
        )


def test_blur_is_kornias_with_a_width_for_every_image():
    filters = pytest.importorskip("kornia.filters", reason="needs the extra `bench`")
    image, sigma_px = torch.rand(COUNT, 3, 40, 40, generator=seeded()), uniform(0.67, 1.0, 1)
    expected = filters.gaussian_blur2d(image, (7, 7), sigma_px[:, None].expand(-1, 2), border_type="reflect")
    torch.testing.assert_close(gaussian_blur(image, sigma_px), expected, atol=1e-5, rtol=0)


def test_cutout_is_torchvisions_erase():
    image = torch.rand(COUNT, 3, 64, 64, generator=seeded())
    corners = torch.randint(0, 40, (4, COUNT), generator=seeded(1)) % torch.tensor([40, 40, 24, 24])[:, None]
    cut = apply_cutout(image, Cutout(*(edge / 64 for edge in corners)))
    for number, (left, top, width, height) in enumerate(corners.T.tolist()):
        assert torch.equal(cut[number], tv.erase(image[number], top, left, height, width, torch.zeros(1)))
