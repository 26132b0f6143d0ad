"""The retinal disc is found to about a hundredth of its radius, however it lies in the picture."""

import cv2
import numpy as np
import pytest

from raydr.images.fundus import RetinalDisc, crop_retinal_disc, find_retina, find_retinal_disc, pad_to_square
from raydr.images.phantom_camera import CAMERAS, lay_plate
from raydr.images.phantom_picture import draw_phantom, random_stream
from raydr.images.resize import resize

HEIGHT, WIDTH = 400, 600


def photograph(
    *,
    x: float = 300,
    y: float = 200,
    radius: float = 180,
    brightness: float = 150,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> np.ndarray:
    """A disc that darkens outwards, with a bright optic disc and noise, on nearly black."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    distance = np.hypot(columns - x, rows - y) / radius
    red = np.where(distance <= 1, brightness * (1 - 0.4 * distance**2), 0)
    red[np.hypot(columns - x - 0.5 * radius, rows - y) < 0.12 * radius] = min(255, 1.5 * brightness)
    image = np.stack([red, 0.5 * red, 0.25 * red], axis=2) + generator.normal(2, 1.0, (*size, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def check_found(image: np.ndarray, x: float, y: float, radius: float, *, share: float = 0.02) -> None:
    disc = find_retinal_disc(image)
    assert abs(disc.center_x_px - x) <= share * radius
    assert abs(disc.center_y_px - y) <= share * radius
    assert abs(disc.radius_px - radius) <= share * radius


@pytest.mark.parametrize(
    ("x", "y", "radius"), [(300, 200, 180), (300, 200, 120), (210, 190, 150), (420, 230, 140), (300, 200, 196)]
)
def test_a_whole_disc_is_found_centred_or_not(x, y, radius):
    check_found(photograph(x=x, y=y, radius=radius), x, y, radius)


@pytest.mark.parametrize("brightness", [18, 30, 60, 250])
def test_a_dark_or_bright_disc_is_found(brightness):
    check_found(photograph(brightness=brightness), 300, 200, 180, share=0.03)


def test_a_disc_cut_at_top_and_bottom_by_the_frame_is_found():
    check_found(photograph(radius=260), 300, 200, 260)


def test_a_disc_cut_by_the_cameras_mask_is_found():
    image = photograph(radius=190)
    image[:60], image[-60:] = 0, 0
    check_found(image, 300, 200, 190)


def test_a_disc_cut_on_one_side_is_found():
    check_found(photograph(x=110, y=200, radius=170), 110, 200, 170)


def test_text_in_the_corner_does_not_move_the_disc():
    image = photograph(radius=170)
    cv2.putText(image, "OD 2015-03-02", (5, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2)
    cv2.rectangle(image, (560, 360), (599, 399), (255, 255, 255), -1)
    check_found(image, 300, 200, 170)


def test_a_tab_on_the_edge_does_not_move_the_disc():
    image = photograph(radius=170)
    cv2.rectangle(image, (420, 75), (436, 91), (150, 75, 40), -1)
    check_found(image, 300, 200, 170)


def check_within_2_percent(image: np.ndarray, x: float, y: float, radius: float) -> None:
    check_found(image, x, y, radius, share=2 * 0.02)


@pytest.mark.parametrize("gain", [2.0, 4.0, 20.0])
def test_an_overexposed_disc_is_found(gain):
    image = photograph(radius=170).astype(float)
    check_within_2_percent(np.clip(image * gain, 0, 255).astype(np.uint8), 300, 200, 170)


@pytest.mark.parametrize("fall", [0.8, 0.9])
def test_a_disc_that_fades_towards_its_edge_is_found(fall):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    distance = np.hypot(columns - 300, rows - 200) / 170
    light = np.where(distance <= 1, 160 * (1 - fall * distance**2), 2)
    check_within_2_percent(np.stack([light, 0.5 * light, 0.3 * light], axis=2).astype(np.uint8), 300, 200, 170)


@pytest.mark.parametrize("angle", [0, 75, 160, 230])
def test_a_shadow_over_a_third_of_the_disc_does_not_move_it(angle):
    image = photograph(radius=170)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    along = (columns - 300) * np.cos(np.radians(angle)) + (rows - 200) * np.sin(np.radians(angle))
    light = np.clip(1.2 - 0.9 * (along + 20) / 170, 0.15, 1)
    check_within_2_percent((image * light[:, :, None]).astype(np.uint8), 300, 200, 170)


@pytest.mark.parametrize("angle", [10, 60, 120, 200, 290])
def test_a_notch_in_the_edge_does_not_move_the_disc(angle):
    x, y = 300 + 170 * np.cos(np.radians(angle)), 200 + 170 * np.sin(np.radians(angle))
    notched, tabbed = photograph(radius=170), photograph(radius=170)
    cv2.circle(notched, (round(x), round(y)), 22, (2, 2, 2), -1)
    cv2.circle(tabbed, (round(x), round(y)), 12, (150, 75, 40), -1)
    check_within_2_percent(notched, 300, 200, 170)
    check_within_2_percent(tabbed, 300, 200, 170)


@pytest.mark.parametrize("place", [(300, 210), (170, 190), (395, 320)])
def test_a_reflection_of_the_lens_does_not_move_the_disc(place):
    image = photograph(radius=170, brightness=80)
    glare = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    cv2.ellipse(glare, place, (50, 30), 20, 0, 360, 255, -1)
    glare = cv2.GaussianBlur(glare, (0, 0), 6)
    check_within_2_percent(np.clip(image + glare[:, :, None], 0, 255).astype(np.uint8), 300, 200, 170)


def test_a_bright_crescent_at_the_edge_does_not_move_the_disc():
    image = photograph(radius=170, brightness=90).astype(float)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    is_lit = (np.hypot(columns - 300, rows - 200) < 170) & (np.hypot(columns - 270, rows - 170) > 165)
    check_within_2_percent(np.where(is_lit[:, :, None], 230, image).astype(np.uint8), 300, 200, 170)


@pytest.mark.parametrize("corner", [(5, 30), (360, 30), (5, 390), (360, 390)])
def test_text_in_any_corner_does_not_move_a_cut_disc(corner):
    image = photograph(radius=230)
    cv2.putText(image, "R 45deg 03.02.15", corner, cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
    check_within_2_percent(image, 300, 200, 230)


@pytest.mark.parametrize("size", [(500, 500), (700, 400), (400, 1000), (193, 288)])
def test_the_pictures_shape_does_not_count(size):
    height, width = size
    x, y, radius = 0.48 * width, 0.52 * height, 0.42 * min(size)
    check_within_2_percent(photograph(x=x, y=y, radius=radius, size=size), x, y, radius)


@pytest.mark.parametrize(
    ("strength", "share", "radius"), [(20, 1.0, 140), (35, 0.6, 148), (65, 0.4, 140), (65, 0.4, 148)]
)
def test_noise_around_the_disc_in_a_padded_picture_is_not_taken_for_it(strength, share, radius):
    """As public copies come: the histogram stretched, noise and all, then padded to a square with black."""
    generator = np.random.default_rng(0)
    image = photograph(x=230, y=150, radius=radius, brightness=230, size=(300, 420)).astype(float)
    noise = np.abs(generator.normal(0, strength, image.shape)) * (generator.random((300, 420)) < share)[:, :, None]
    padded = np.zeros((420, 420, 3), dtype=np.uint8)
    padded[60:360] = np.clip(image + noise * (image < 30), 0, 255)
    check_within_2_percent(padded, 230, 210, radius)


@pytest.mark.parametrize("camera", ["a", "b"])
@pytest.mark.parametrize("seed", range(6))
def test_the_disc_of_a_phantom_is_where_its_camera_saw_it(camera, seed):
    plate = lay_plate(random_stream(seed, "photograph", "left"), CAMERAS[camera], side_px=500, is_left=True)
    image = draw_phantom(patient_seed=seed, eye="left", grade=4, side_px=500, camera=camera)
    check_within_2_percent(image, plate.center_x_px, plate.center_y_px, plate.radius_px)


def test_a_large_picture_gives_the_same_disc_as_a_small_one():
    small = photograph()
    large = cv2.resize(small, (4 * WIDTH, 4 * HEIGHT), interpolation=cv2.INTER_CUBIC)
    check_found(large, 1200, 800, 720)


@pytest.mark.parametrize("value", [0, 3, 120, 255])
def test_where_no_disc_can_be_seen_the_whole_picture_is_taken(value):
    disc = find_retinal_disc(np.full((HEIGHT, WIDTH, 3), value, dtype=np.uint8))
    assert (disc.center_x_px, disc.center_y_px, disc.radius_px) == (300, 200, 300)


def test_a_rectangle_is_no_disc():
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[100:300, 80:520] = 140
    assert find_retinal_disc(image).radius_px == 300


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 3), (7, 5)])
def test_tiny_and_thin_pictures_are_taken_whole(shape):
    image = np.full((*shape, 3), 90, dtype=np.uint8)
    square = crop_retinal_disc(image, find_retinal_disc(image), side_px=16)
    assert square.shape == (16, 16, 3)


def test_the_share_covered_is_the_circles():
    disc = find_retinal_disc(photograph(radius=150))
    assert disc.fraction == pytest.approx(np.pi * 150**2 / (HEIGHT * WIDTH), rel=0.03)


@pytest.mark.parametrize(("x", "y", "radius"), [(300, 200, 180), (200, 180, 150), (300, 200, 260), (110, 200, 170)])
def test_the_crop_is_a_square_with_the_disc_in_its_middle(x, y, radius):
    image = photograph(x=x, y=y, radius=radius)
    square = crop_retinal_disc(image, find_retinal_disc(image), side_px=200)
    assert square.shape == (200, 200, 3)
    assert square.dtype == np.uint8
    rows, columns = np.mgrid[:200, :200] + 0.5
    distance = np.hypot(columns - 100, rows - 100)
    assert square[distance > 104].max() < 30
    # Where the photograph shows it, the disc reaches to the square's edge.
    px = 2 * radius / 200
    seen_x, seen_y = x + (columns - 100) * px, y + (rows - 100) * px
    inside = (distance < 96) & (seen_x > 3) & (seen_x < WIDTH - 3) & (seen_y > 3) & (seen_y < HEIGHT - 3)
    assert square[inside].max(axis=1).min() > 60
    outside = (seen_x < -3) | (seen_x > WIDTH + 3) | (seen_y < -3) | (seen_y > HEIGHT + 3)
    assert not square[outside].any()


def test_a_crop_keeps_the_proportions():
    image = np.zeros((300, 500, 3), dtype=np.uint8)
    image[140:160, 240:260] = 255
    square = crop_retinal_disc(image, RetinalDisc(250.0, 150.0, 100.0, 0.2), side_px=100)
    rows, columns = np.flatnonzero(square[:, :, 0].any(axis=1)), np.flatnonzero(square[:, :, 0].any(axis=0))
    assert (rows[0], rows[-1]) == (columns[0], columns[-1]) == (45, 54)


def test_a_square_picture_that_the_disc_fills_is_only_resized():
    image = photograph(x=100, y=100, radius=99.5, size=(200, 200))
    found = find_retinal_disc(image)
    np.testing.assert_array_equal(crop_retinal_disc(image, found, side_px=200), image)
    resized = resize(image, width=64, height=64)
    np.testing.assert_array_equal(crop_retinal_disc(image, found, side_px=64), resized)


def test_a_small_disc_in_a_square_picture_is_cropped():
    image = photograph(x=100, y=100, radius=70, size=(200, 200))
    square = crop_retinal_disc(image, find_retinal_disc(image), side_px=140)
    assert square[70, 3].max() > 60


@pytest.mark.parametrize(
    ("shape", "rows", "columns"), [((60, 100), (20, 80), (0, 100)), ((100, 40), (0, 100), (30, 70))]
)
def test_padding_puts_the_whole_picture_in_the_middle_of_black(shape, rows, columns):
    image = np.full((*shape, 3), 200, dtype=np.uint8)
    expected = np.zeros((100, 100, 3), dtype=np.uint8)
    expected[slice(*rows), slice(*columns)] = 200
    np.testing.assert_array_equal(pad_to_square(image, side_px=100), expected)


def test_a_long_thin_picture_is_padded_without_its_square_in_memory():
    image = np.full((2, 100_000, 3), 200, dtype=np.uint8)  # its square has 10^10 pixels
    square = pad_to_square(image, side_px=50)
    assert (square == 200).all(axis=(1, 2)).sum() == 1
    assert crop_retinal_disc(image, find_retinal_disc(image), side_px=50).shape == (50, 50, 3)


def test_the_retina_is_convex_and_ends_at_the_cameras_mask():
    image = photograph(radius=190)
    image[:60] = 2
    image[180:220, 150:200] = 1  # a bleeding as dark as the surround
    found = find_retina(image)
    assert found[180:220, 150:200].all()
    assert not found[:57].any()
    assert found[64:150, 300].all()
    assert not found[200, :100].any()


def test_where_no_disc_can_be_seen_the_retina_is_everywhere():
    assert find_retina(np.full((30, 40, 3), 7, dtype=np.uint8)).all()
