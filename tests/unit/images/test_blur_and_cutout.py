"""Blur against torchvision's kernel and cut-out against a literal rectangle."""

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from raydr.images.blur import gaussian_blur
from raydr.images.cutout import Cutout, apply_cutout, draw_cutout


@pytest.mark.parametrize("sigma_px", [0.4, 1.0, 2.0])
def test_blur_is_torchvisions_to_the_edge(sigma_px):
    image = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    reach = -int(-3 * sigma_px // 1)
    expected = tv.gaussian_blur(image, [2 * reach + 1, 2 * reach + 1], [sigma_px, sigma_px])
    torch.testing.assert_close(gaussian_blur(image, torch.full((2,), sigma_px)), expected, atol=1e-5, rtol=0)


def test_each_image_has_its_own_width_and_0_keeps_it_sharp():
    image = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    blurred = gaussian_blur(image, torch.tensor([0.0, 0.66, 1.5]))
    torch.testing.assert_close(blurred[0], image[0])
    torch.testing.assert_close(blurred[1:2], gaussian_blur(image[1:2], torch.tensor([0.66])), atol=1e-6, rtol=0)
    assert blurred[2].std() < blurred[1].std() < image.std()


def test_a_kernel_wider_than_the_picture_still_keeps_its_brightness():
    image = torch.full((1, 3, 4, 4), 0.3)
    torch.testing.assert_close(gaussian_blur(image, torch.tensor([9.0])), image)


def test_cutout_blackens_the_pixels_whose_middles_it_covers():
    edges = {"left": [0.27, 0.0], "top": [0.5, 0.0], "width": [0.5, 0.0], "height": [0.125, 0.0]}
    cut = apply_cutout(torch.ones(2, 3, 16, 16), Cutout(**{name: torch.tensor(edge) for name, edge in edges.items()}))
    expected = torch.ones(3, 16, 16)
    expected[:, 8:10, 4:12] = 0
    assert torch.equal(cut[0], expected)
    assert torch.equal(cut[1], torch.ones(3, 16, 16))


def test_drawn_rectangles_stay_small_and_inside():
    cutout = draw_cutout(probability=0.5, max_area=0.05, count=4000, generator=torch.Generator().manual_seed(0))
    area = cutout.width * cutout.height
    assert 0.47 < (area > 0).float().mean() < 0.53
    assert 0.048 < area.max() <= 0.05 + 1e-6
    for start, length in ((cutout.left, cutout.width), (cutout.top, cutout.height)):
        assert start.min() >= 0
        assert (start + length).max() <= 1 + 1e-6
    drawn = area > 0
    assert (cutout.width[drawn] / cutout.height[drawn]).log2().abs().max() <= 1 + 1e-4
