"""Resizing keeps what is small, moves nothing, and is close to the mean over each pixel's area."""

import cv2
import numpy as np
import pytest

from raydr.images.resize import resize


def textured(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).normal(120, 60, (height, width, 3)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.5) * 2 - 120, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shrink", [1.05, 1.3, 1.57, 2.0, 2.6, 3.3, 4.0, 7.0])
def test_a_smaller_copy_is_nearly_the_mean_over_each_pixels_area(shrink):
    image = textured(480, 600)
    width, height = round(600 / shrink), round(480 / shrink)
    expected = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    found = resize(image, width=width, height=height)
    assert found.shape == (height, width, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("shrink", [1.2, 1.57, 2.0, 2.7, 3.6, 5.0])
def test_no_single_pixel_is_lost_wherever_it_lies(shrink):
    side = round(120 / shrink)
    for place in range(40, 56):
        image = np.zeros((120, 120, 3), dtype=np.uint8)
        image[place, place + 3] = 255
        total = resize(image, width=side, height=side)[:, :, 0].sum() * shrink**2
        assert 0.5 * 255 < total < 2 * 255


@pytest.mark.parametrize("side", [30, 47, 64, 100, 200])
def test_nothing_moves(side):
    image = np.zeros((100, 100, 3), dtype=np.uint8)
    image[20:40, 50:80] = 200
    found = resize(image, width=side, height=side)[:, :, 0].astype(float)
    place = (np.arange(side) + 0.5) * 100 / side
    assert (found.sum(axis=1) @ place) / found.sum() == pytest.approx(30, abs=0.3)
    assert (found.sum(axis=0) @ place) / found.sum() == pytest.approx(65, abs=0.3)


@pytest.mark.parametrize("value", [0, 77, 255])
@pytest.mark.parametrize("side", [20, 33, 90])
def test_one_colour_stays_one_colour(value, side):
    assert (resize(np.full((50, 50, 3), value, dtype=np.uint8), width=side, height=side) == value).all()


def test_a_picture_of_the_right_size_is_itself():
    image = textured(30, 40)
    assert resize(image, width=40, height=30) is image
