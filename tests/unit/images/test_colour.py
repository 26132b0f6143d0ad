"""Colours against torchvision's functions with the same parameters; black stays black."""

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from raydr.images.colour import Colour, ColourRanges, apply_colour, draw_colour


def colour_of(count: int = 3, *, gamma: float | None = None, hue: float | None = None, **changes: float) -> Colour:
    factors = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, **changes}
    parameters = {name: torch.full((count,), value) for name, value in factors.items()}
    optional = {"gamma": gamma, "hue": hue}
    parameters |= {name: torch.full((count,), value) for name, value in optional.items() if value is not None}
    return Colour(**parameters)


@pytest.fixture
def image() -> torch.Tensor:
    """Random colours on the levels of 8 bits: greys, primaries and two equal channels occur among them."""
    levels = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0)) / 255
    levels[0, :, 0] = levels[0, :1, 0]
    levels[1, 0, 1] = levels[1, 1, 1]
    levels[2, :, 2] = torch.eye(3).repeat(1, 11)[:, :32]
    return levels


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
def test_brightness_and_saturation_are_torchvisions(image, factor):
    bright, saturated = colour_of(brightness=factor), colour_of(saturation=factor)
    torch.testing.assert_close(apply_colour(image, bright), tv.adjust_brightness(image, factor), atol=1e-5, rtol=0)
    torch.testing.assert_close(apply_colour(image, saturated), tv.adjust_saturation(image, factor), atol=1e-5, rtol=0)


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.5])
def test_contrast_is_torchvisions_where_nothing_is_black(image, factor):
    lit = image * 0.9 + 0.1
    expected = tv.adjust_contrast(lit, factor)
    torch.testing.assert_close(apply_colour(lit, colour_of(contrast=factor)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("gamma", [0.7, 1.0, 1.4])
def test_gamma_is_torchvisions_and_black_has_no_logarithm_to_fear(image, gamma):
    image[:, :, 5] = 0
    expected = tv.adjust_gamma(image, gamma)
    torch.testing.assert_close(apply_colour(image, colour_of(gamma=gamma)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("hue", [-0.5, -0.2, 0.0, 0.03, 0.1, 0.5])
def test_hue_is_torchvisions(image, hue):
    expected = tv.adjust_hue(image, hue)
    torch.testing.assert_close(apply_colour(image, colour_of(hue=hue)), expected, atol=1e-5, rtol=0)


def test_brightness_contrast_and_saturation_are_torchvisions_in_sequence(image):
    mild = image * 0.3 + 0.3  # where nothing is cut off between the steps
    expected = tv.adjust_saturation(tv.adjust_contrast(tv.adjust_brightness(mild, 1.1), 0.8), 1.3)
    changed = apply_colour(mild, colour_of(brightness=1.1, contrast=0.8, saturation=1.3))
    torch.testing.assert_close(changed, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("contrast", [0.2, 0.7, 1.6])
def test_black_around_the_retina_stays_black_and_does_not_move_the_pivot(contrast):
    retina = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.2
    framed = torch.zeros(1, 3, 64, 64)
    framed[:, :, 16:48, 16:48] = retina
    colour = colour_of(1, contrast=contrast, brightness=1.2, gamma=0.8, hue=0.1)
    changed = apply_colour(framed, colour)
    torch.testing.assert_close(changed[:, :, 16:48, 16:48], apply_colour(retina, colour))
    changed[:, :, 16:48, 16:48] = 0
    assert changed.max() == 0


def test_each_image_follows_its_own_parameters(image):
    generator = torch.Generator().manual_seed(2)
    ranges = ColourRanges(brightness=0.5, contrast=0.5, saturation=0.5, gamma=(0.7, 1.4), hue=0.2)
    colour = draw_colour(ranges, 3, generator)
    together = apply_colour(image, colour)
    for row in range(3):
        names = ("brightness", "contrast", "saturation", "gamma", "hue")
        own = Colour(**{name: getattr(colour, name)[row : row + 1] for name in names})
        torch.testing.assert_close(together[row : row + 1], apply_colour(image[row : row + 1], own))


def test_a_black_picture_stays_black():
    colour = colour_of(contrast=0.5, saturation=0.5, gamma=0.8, hue=0.1)
    assert apply_colour(torch.zeros(3, 3, 8, 8), colour).max() == 0


def test_drawn_parameters_keep_to_their_ranges():
    ranges = ColourRanges(brightness=0.4, contrast=0.3, saturation=0.2, gamma=(0.8, 1.25), hue=0.03, greyscale=0.2)
    colour = draw_colour(ranges, 4000, torch.Generator().manual_seed(0))
    for values, low, high in (
        (colour.brightness, 0.6, 1.4),
        (colour.contrast, 0.7, 1.3),
        (colour.gamma, 0.8, 1.25),
        (colour.hue, -0.03, 0.03),
    ):
        slack = 0.02 * (high - low)
        assert low - 1e-6 <= values.min() < low + slack
        assert high - slack < values.max() <= high + 1e-6
    is_grey = colour.saturation == 0
    assert 0.17 < is_grey.float().mean() < 0.23
    assert colour.saturation[~is_grey].min() >= 0.8


def test_images_that_are_spared_keep_their_colours(image):
    ranges = ColourRanges(brightness=0.8, contrast=0.8, saturation=0.8, gamma=(0.5, 2), hue=0.2, probability=0.3)
    colour = draw_colour(ranges, 3000, torch.Generator().manual_seed(0))
    is_spared = colour.brightness == 1
    assert 0.67 < is_spared.float().mean() < 0.73
    for values, neutral in ((colour.contrast, 1), (colour.saturation, 1), (colour.gamma, 1), (colour.hue, 0)):
        assert (values[is_spared] == neutral).all()
