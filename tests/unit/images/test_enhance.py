"""Enhancement evens out cameras inside the retina and leaves the black around it black."""

import cv2
import numpy as np
import pytest

from raydr.images.enhance import enhance

SIDE = 160
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE] + 0.5
DISTANCE = np.hypot(COLUMNS - SIDE / 2, ROWS - SIDE / 2) / (SIDE / 2)
IS_INSIDE = (DISTANCE < 0.97) & (ROWS > 22) & (ROWS < SIDE - 22)
IS_OUTSIDE = (DISTANCE > 1.03) | (ROWS < 18) | (ROWS > SIDE - 18)


def retina(*, colour: tuple[float, float, float] = (150, 70, 30), gain: float = 1.0) -> np.ndarray:
    """A disc cut at top and bottom, darker outwards, finely textured, with sensor noise on the black around it."""
    generator = np.random.default_rng(0)
    light = (1 - 0.4 * DISTANCE**2) * (1 + 0.1 * generator.standard_normal((SIDE, SIDE)))
    image = light[:, :, None] * np.array(colour) * gain
    image[(DISTANCE > 1) | (ROWS < 20) | (ROWS > SIDE - 20)] = 0
    return np.clip(image + generator.integers(0, 3, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["equalize", "clahe", "graham"])
def test_the_surround_becomes_black_and_the_shape_stays(kind):
    image = retina()
    found = enhance(image, kind)
    assert found.shape == image.shape
    assert found.dtype == np.uint8
    assert not found[IS_OUTSIDE].any()
    assert found[IS_INSIDE].any()


@pytest.mark.parametrize("kind", ["none", "equalize", "clahe", "graham"])
def test_the_same_picture_gives_the_same_result_and_is_not_changed(kind):
    image = retina()
    before = image.copy()
    first = enhance(image, kind)
    np.testing.assert_array_equal(first, enhance(image, kind))
    np.testing.assert_array_equal(image, before)


def test_none_is_the_picture():
    image = retina()
    np.testing.assert_array_equal(enhance(image, "none"), image)


def test_equalize_makes_every_channels_histogram_flat_over_the_retina():
    found = enhance(retina(), "equalize")[IS_INSIDE]
    for channel in range(3):
        shares = np.histogram(found[:, channel], bins=4, range=(0, 256))[0] / len(found)
        np.testing.assert_allclose(shares, 0.25, atol=0.08)


def test_equalize_is_opencvs_where_the_retina_is_everything():
    image = np.random.default_rng(1).integers(90, 140, (50, 50, 3)).astype(np.uint8)
    expected = np.dstack([cv2.equalizeHist(np.ascontiguousarray(image[:, :, channel])) for channel in range(3)])
    np.testing.assert_array_equal(enhance(image, "equalize"), expected)


def test_equalize_makes_two_cameras_alike():
    orange, pale = retina(colour=(200, 90, 30)), retina(colour=(120, 100, 80), gain=0.8)
    apart = np.abs(orange.astype(int) - pale)[IS_INSIDE].mean()
    left = np.abs(enhance(orange, "equalize").astype(int) - enhance(pale, "equalize"))[IS_INSIDE].mean()
    assert left < 0.25 * apart


def test_equalize_again_changes_little():
    once = enhance(retina(), "equalize")
    assert np.abs(enhance(once, "equalize").astype(int) - once)[IS_INSIDE].mean() < 6


def test_equalize_leaves_a_channel_of_one_value():
    image = np.random.default_rng(2).integers(40, 200, (30, 30, 3)).astype(np.uint8)
    image[:, :, 2] = 17
    assert (enhance(image, "equalize")[:, :, 2] == 17).all()


def test_clahe_raises_local_contrast_and_keeps_the_hue():
    image = retina()
    found = enhance(image, "clahe")
    window = (slice(60, 100), slice(60, 100), 1)
    assert found[window].std() > 1.2 * image[window].std()
    assert (found[IS_INSIDE].mean(axis=0).argsort() == [2, 1, 0]).all()


def test_graham_is_grey_on_average_and_shows_small_spots():
    image = retina()
    image[78:82, 78:82] = (60, 15, 10)
    found = enhance(image, "graham")
    np.testing.assert_allclose(found[IS_INSIDE].mean(axis=0), 128, atol=4)
    assert found[79:81, 79:81, 0].max() < 40


def test_graham_has_no_halo_along_the_edge():
    """A smooth retina is grey up to its edge: the black around it does not enter the local mean."""
    image = np.where((DISTANCE <= 1)[:, :, None], np.array([150, 70, 30]), 0).astype(np.uint8)
    found = enhance(image, "graham")[DISTANCE < 0.98]
    assert np.abs(found.astype(int) - 128).max() <= 8


@pytest.mark.parametrize("kind", ["equalize", "clahe", "graham"])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_of_one_colour_is_no_error(kind, value):
    assert enhance(np.full((20, 20, 3), value, dtype=np.uint8), kind).shape == (20, 20, 3)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="equalize"):
        enhance(retina(), "sharpen")
