"""Quality is judged over the retina alone, at one scale, and the estimate tells good phantoms from spoilt ones."""

import cv2
import numpy as np
import pytest

from raydr.images.fundus import find_retinal_disc, sight_retina
from raydr.images.phantom import draw_phantom
from raydr.images.quality import Quality, is_gradable, measure_quality


def quality_of(image: np.ndarray) -> Quality:
    return measure_quality(sight_retina(image))


PHANTOMS = {
    (seed, camera): draw_phantom(patient_seed=seed, eye="left", grade=grade, side_px=480, camera=camera)
    for seed, grade in ((0, 0), (1, 2), (2, 4))
    for camera in ("a", "b")
}
each_phantom = pytest.mark.parametrize("phantom", PHANTOMS.values(), ids=map(str, PHANTOMS))


def blurred(image: np.ndarray, share: float) -> np.ndarray:
    """Out of focus by a standard deviation in shares of the disc's diameter."""
    return cv2.GaussianBlur(image, (0, 0), share * 2 * find_retinal_disc(image).radius_px)


def lit(image: np.ndarray, gain: float) -> np.ndarray:
    """Another exposure, with the sensor's noise."""
    noise = np.random.default_rng(0).normal(0, 2, image.shape)
    return np.clip(image * gain + noise, 0, 255).astype(np.uint8)


@each_phantom
def test_a_good_phantom_is_gradable_and_its_values_are_in_range(phantom):
    found = quality_of(phantom)
    assert found.gradable
    assert 0.7 < found.focus < 2
    assert 0.1 < found.blur < 0.45
    assert 0.2 < found.brightness < 0.75
    assert found.overexposed < 0.05
    assert found.underexposed < 0.05
    assert found.disc_fraction == pytest.approx(find_retinal_disc(phantom).fraction)


@each_phantom
def test_focus_falls_and_blur_rises_with_defocus(phantom):
    steps = [quality_of(image) for image in (phantom, blurred(phantom, 1 / 192), blurred(phantom, 2 / 192))]
    assert steps[0].focus > 1.1 * steps[1].focus > 1.1**2 * steps[2].focus
    assert steps[0].blur < steps[1].blur - 0.05 < steps[2].blur - 0.1


@each_phantom
@pytest.mark.parametrize("share", [2.5 / 192, 4 / 192, 8 / 192])
def test_a_blurred_one_is_not_gradable(phantom, share):
    assert not quality_of(blurred(phantom, share)).gradable


@each_phantom
def test_a_dark_one_is_not_gradable(phantom):
    found = quality_of(lit(phantom, 0.12))
    assert not found.gradable
    assert found.underexposed > 0.7
    assert found.brightness < 0.12


@each_phantom
def test_an_overexposed_one_is_not_gradable(phantom):
    found = quality_of(lit(phantom, 5.0))
    assert not found.gradable
    assert found.overexposed > 0.5


@pytest.mark.parametrize("value", [0, 3, 120, 255])
def test_without_a_retina_nothing_is_gradable(value):
    found = quality_of(np.full((300, 400, 3), value, dtype=np.uint8))
    assert not found.gradable
    assert found.disc_fraction == 0
    assert found.brightness == pytest.approx(value / 255, abs=0.005)
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    assert not quality_of(noise).gradable


@pytest.mark.parametrize("side_px", [240, 960, 1700])
def test_the_size_of_the_picture_hardly_counts(side_px):
    original = draw_phantom(patient_seed=1, eye="left", grade=2, side_px=1200)
    scaled = cv2.resize(original, (side_px, side_px), interpolation=cv2.INTER_AREA)
    expected, found = quality_of(original), quality_of(scaled)
    assert found.focus == pytest.approx(expected.focus, rel=0.12)
    assert found.blur == pytest.approx(expected.blur, abs=0.04)
    assert found.brightness == pytest.approx(expected.brightness, abs=0.005)
    assert found.disc_fraction == pytest.approx(expected.disc_fraction, abs=0.01)


@each_phantom
def test_black_around_the_retina_and_where_the_camera_cuts_it_counts_for_nothing(phantom):
    expected = quality_of(phantom)
    framed = cv2.copyMakeBorder(phantom, 100, 100, 100, 100, cv2.BORDER_CONSTANT, value=(2, 2, 2))
    height = phantom.shape[0]
    cut = phantom.copy()
    cut[: height // 8], cut[-height // 8 :] = 2, 2
    for image in (framed, cut):
        found = quality_of(image)
        assert found.brightness == pytest.approx(expected.brightness, rel=0.1)
        assert found.underexposed < 0.05
        assert found.gradable


def test_a_half_in_shadow_is_underexposed():
    image = PHANTOMS[0, "a"].copy()
    image[:, : image.shape[1] // 2] //= 10
    found = quality_of(image)
    assert 0.35 < found.underexposed < 0.65
    assert not found.gradable


def test_tiny_pictures_are_no_error():
    for size in ((1, 1), (1, 900), (5, 3), (16, 16)):
        assert not quality_of(np.full((*size, 3), 90, dtype=np.uint8)).gradable


GOOD = {
    "focus": 1.0,
    "blur": 0.3,
    "brightness": 0.4,
    "overexposed": 0.0,
    "underexposed": 0.0,
    "disc_fraction": 0.7,
}


@pytest.mark.parametrize(
    "change",
    [
        {"focus": 0.5},
        {"blur": 0.6},
        {"brightness": 0.1},
        {"brightness": 0.9},
        {"overexposed": 0.35},
        {"underexposed": 0.45},
        {"disc_fraction": 0.0},
    ],
    ids=str,
)
def test_one_bad_value_is_enough(change):
    assert is_gradable(**GOOD)
    assert not is_gradable(**{**GOOD, **change})
