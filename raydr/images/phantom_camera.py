"""A phantom's camera: its field of view, light, colours, sharpness and noise."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from raydr.images.phantom_plate import Plane, Plate, blur, each, mix


@dataclass(frozen=True, slots=True)
class Camera:
    """What a make of camera does to every picture."""

    height_share: float
    """Height over width; below the field of view's diameter, the frame cuts it at the top and the bottom."""
    radius_share: float
    """The field of view's radius over the picture's width."""
    gain: tuple[float, float, float]
    veil: tuple[float, float, float]
    """Light scattered into the dark, of 1."""
    vignette: tuple[float, float]
    blur: tuple[float, float]
    """Least and greatest blur, in radii of the field of view."""
    sharpening: float
    rim: float
    """Strength of the bluish glow along the edge."""
    tab: bool
    """Whether the field of view has the small square mark of its upper right."""


CAMERAS: Final = {
    "a": Camera(
        height_share=1.0,
        radius_share=0.475,
        gain=(1.0, 1.0, 1.0),
        veil=(0.03, 0.03, 0.015),
        vignette=(0.25, 0.7),
        blur=(0.001, 0.006),
        sharpening=0.0,
        rim=0.0,
        tab=True,
    ),
    "b": Camera(
        height_share=0.75,
        radius_share=0.465,
        gain=(1.0, 1.12, 1.30),
        veil=(0.06, 0.08, 0.10),
        vignette=(0.3, 0.55),
        blur=(0.002, 0.007),
        sharpening=0.7,
        rim=0.5,
        tab=False,
    ),
}
_RIM_COLOUR: Final = np.array([0.50, 0.72, 0.75], dtype=np.float32)
_BLACK: Final = 3.0  # of 255: a camera's black is not nought


def lay_plate(generator: np.random.Generator, camera: Camera, *, side_px: int, is_left: bool) -> Plate:
    """The picture's size and where the field of view lies in it, a little off the middle."""
    width, height = side_px, round(side_px * camera.height_share)
    shift_x, shift_y = generator.uniform(-0.012, 0.012, 2) * side_px
    radius = side_px * camera.radius_share * generator.uniform(0.985, 1.015)
    return Plate(height, width, width / 2 + float(shift_x), height / 2 + float(shift_y), float(radius), is_left)


def photograph(generator: np.random.Generator, plate: Plate, camera: Camera, retina: Plane) -> NDArray[np.uint8]:
    """The picture [height, width, 3] of a retina [3, height, width] of 0 to 1."""
    light = _illumination(generator, plate, camera)
    gain = np.array(camera.gain) * np.exp(generator.normal(0, [0.06, 0.09, 0.14]) + generator.normal(0, 0.10))
    veil = each(np.array(camera.veil) * generator.uniform(0.3, 1.8))
    seen = retina * (light * each(gain))
    seen += _ghost(generator, plate) + veil
    seen = _shoulder(seen)
    seen = _focus(generator, plate, camera, seen)
    if camera.rim:
        seen = _add_rim(generator, plate, camera, seen)
    opening = _opening(generator, plate, camera)
    seen -= np.float32(_BLACK / 255)
    seen *= opening
    seen += np.float32(_BLACK / 255)
    return _develop(generator, seen)


def _illumination(generator: np.random.Generator, plate: Plate, camera: Camera) -> Plane:
    """Light on the retina: less towards the edge, uneven where the camera was held askew."""
    x, y = generator.normal(0, 0.16, 2)
    fall = generator.uniform(*camera.vignette)
    uneven = 0.05 * plate.field(generator, cells=4)
    # exp(-fall distance²), lit so that a brighter middle makes up for the darker edge.
    return np.asarray(np.exp(uneven + 0.25 * fall) * plate.bump(float(x), float(y), fall**-0.5), dtype=np.float32)


def _ghost(generator: np.random.Generator, plate: Plate) -> Plane:
    """The lens's own reflection: a pale soft spot near the middle, in some pictures."""
    x, y = generator.normal(0, 0.15, 2)
    size, strength = generator.uniform(0.05, 0.09), generator.uniform(0.1, 0.3)
    strength *= generator.random() < 0.2
    return strength * plate.bump(float(x), float(y), size)


def _shoulder(seen: Plane) -> Plane:
    """Bright parts pressed together below 1, as a camera's curve does."""
    start = np.float32(0.75)
    over = seen - start
    np.maximum(over, 0, out=over)
    over /= 1 + over / (1 - start)
    over += np.minimum(seen, start)
    return over


def _focus(generator: np.random.Generator, plate: Plate, camera: Camera, seen: Plane) -> Plane:
    sigma_px = generator.uniform(*camera.blur) * plate.radius_px
    soft = np.stack([blur(plane, sigma_px) for plane in seen])
    if not camera.sharpening:
        return soft
    softer = np.stack([blur(plane, 0.012 * plate.radius_px) for plane in soft])
    return (1 + np.float32(camera.sharpening)) * soft - np.float32(camera.sharpening) * softer


def _add_rim(generator: np.random.Generator, plate: Plate, camera: Camera, seen: Plane) -> Plane:
    x, y = generator.normal(0, 0.05, 2)
    distance = plate.distance(float(x), float(y))
    share = camera.rim * generator.uniform(0.2, 1.3) * np.clip((distance - 0.78) / 0.22, 0, 1.1) ** 2
    return mix(seen, _RIM_COLOUR, share)


def _opening(generator: np.random.Generator, plate: Plate, camera: Camera) -> Plane:
    """The field of view's mask, 0 to 1: sharp, with the camera's tab in some pictures."""
    opening = np.clip((1 - plate.distance(0, 0)) * plate.radius_px + 0.5, 0, 1)
    if camera.tab and generator.random() < 0.5:
        # The tab marks the camera's upper right in every picture: it is not mirrored with the eye.
        sign = -1.0 if plate.is_left else 1.0
        place, along = np.array([sign * 0.72, -0.70]), np.array([sign * 1.0, -1.0]) / np.sqrt(2)
        across = np.array([-along[1], along[0]])
        corners = place + np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) @ np.array([0.035 * across, 0.04 * along])
        opening = np.maximum(opening, plate.mask(lambda pen: pen.polygon(corners)))
    return np.asarray(opening, dtype=np.float32)


def _develop(generator: np.random.Generator, level: Plane) -> NDArray[np.uint8]:
    """To 0 to 255 with noise, more of brightness than of colour."""
    height, width = level.shape[1:]
    grain = generator.standard_normal((height + 30, width), dtype=np.float32) * np.float32(generator.uniform(1.0, 3.5))
    picture = np.empty((height, width, 3), dtype=np.uint8)
    for index, plane in enumerate(level):
        # A colour's own noise is that of other rows: independent next to the common one, and already drawn.
        own = grain[10 * (index + 1) : 10 * (index + 1) + height]
        noisy = plane * np.float32(255) + (grain[:height] + np.float32(0.4) * own)
        picture[..., index] = cv2.convertScaleAbs(np.maximum(noisy, 0))
    return picture
