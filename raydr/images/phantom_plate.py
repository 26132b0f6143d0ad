"""Where a phantom's retina lies in its picture, and how shapes on the retina become pixels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""One value a pixel, [height, width], or one a colour (red, green, blue) and pixel, [3, height, width]."""
Points = NDArray[np.float64]
"""Points [n, 2] (x, y) on the retina; see ``Plate``."""

_FINER: Final = 2  # masks are drawn this much finer than the picture: OpenCV's lines are whole pixels wide
_SHIFT: Final = 4  # binary digits after the point in the coordinates that OpenCV draws
_FIELD_REACH: Final = 1.3  # fields of noise span the square from minus to plus this: more than any picture shows


@dataclass(frozen=True, slots=True)
class Plate:
    """Retinal coordinates of a picture: the field of view is the unit circle, y points down, every eye is a right eye.

    So the optic disc lies at x > 0 and the macula left of it; ``is_left`` mirrors the drawing.
    """

    height_px: int
    width_px: int
    center_x_px: float
    center_y_px: float
    radius_px: float
    is_left: bool

    def grid(self) -> tuple[Plane, Plane]:
        """Every pixel centre's x [1, width] and y [height, 1]."""
        x = (np.arange(self.width_px, dtype=np.float32) + 0.5 - self.center_x_px) / self.radius_px
        y = (np.arange(self.height_px, dtype=np.float32) + 0.5 - self.center_y_px) / self.radius_px
        x, y = x.astype(np.float32), y.astype(np.float32)
        return (-x if self.is_left else x)[None, :], y[:, None]

    def distance(self, x: float, y: float, *, height: float = 1.0) -> Plane:
        """How far every pixel is from a point, in radii; its circles are ``height`` times as tall as wide."""
        grid_x, grid_y = self.grid()
        return np.asarray(np.sqrt((grid_x - x) ** 2 + ((grid_y - y) / height) ** 2), dtype=np.float32)

    def bump(self, x: float, y: float, size: float, *, height: float = 1.0) -> Plane:
        """exp(-(distance / size)²) from a point, ``height`` times as tall as wide: a row times a column."""
        grid_x, grid_y = self.grid()
        row, column = np.exp(-(((grid_x - x) / size) ** 2)), np.exp(-(((grid_y - y) / (height * size)) ** 2))
        return np.asarray(row * column, dtype=np.float32)

    def window(self, x: float, y: float, reach: float) -> tuple["Plate", tuple[slice, slice]]:
        """The part of the picture within ``reach`` of a point, as a plate of its own and as rows and columns."""
        middle_x = self.center_x_px + (-x if self.is_left else x) * self.radius_px
        middle_y, reach_px = self.center_y_px + y * self.radius_px, reach * self.radius_px
        left, right = max(0, int(middle_x - reach_px)), min(self.width_px, int(middle_x + reach_px) + 1)
        top, bottom = max(0, int(middle_y - reach_px)), min(self.height_px, int(middle_y + reach_px) + 1)
        center = self.center_x_px - left, self.center_y_px - top
        part = Plate(bottom - top, right - left, *center, self.radius_px, self.is_left)
        return part, (slice(top, bottom), slice(left, right))

    def field(self, generator: np.random.Generator, *, cells: int) -> Plane:
        """Smooth noise of about unit deviation; ``cells`` grains across. It does not depend on the picture's size."""
        coarse = generator.standard_normal((cells, cells), dtype=np.float32)
        reach_px = _FIELD_REACH * self.radius_px
        side_px = round(2 * reach_px)
        # Not warpAffine, which knows only 32 places between two cells: wide grains would show steps.
        whole = cv2.resize(
            coarse, (side_px, side_px), interpolation=cv2.INTER_CUBIC if cells < 32 else cv2.INTER_LINEAR
        )
        left, top = round(reach_px - self.center_x_px), round(reach_px - self.center_y_px)
        if self.is_left:
            whole, left = whole[:, ::-1], side_px - round(reach_px + self.center_x_px)
        return np.asarray(whole[top : top + self.height_px, left : left + self.width_px], dtype=np.float32)

    def mask(self, draw: Callable[["Pen"], None]) -> Plane:
        """What ``draw`` covers, 0 to 1 a pixel."""
        canvas = np.zeros((self.height_px * _FINER, self.width_px * _FINER), dtype=np.uint8)
        draw(Pen(self, canvas))
        small = cv2.resize(canvas, (self.width_px, self.height_px), interpolation=cv2.INTER_AREA)
        return small.astype(np.float32) / np.float32(255)


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws shapes given in retinal coordinates on a canvas finer than the picture."""

    plate: Plate
    canvas: NDArray[np.uint8]

    def line(self, points: Points, width: float, *, strength: float = 1.0) -> None:
        """A line through points; one thinner than a pixel is drawn fainter instead."""
        thickness_px = width * self.plate.radius_px * _FINER
        whole_px = max(1, round(thickness_px))
        shade = 255 * strength * min(1.0, thickness_px / whole_px)
        pixels = [self._pixels(points)]
        cv2.polylines(
            self.canvas, pixels, isClosed=False, color=shade, thickness=whole_px, lineType=cv2.LINE_AA, shift=_SHIFT
        )

    def polygon(self, corners: Points, *, strength: float = 1.0) -> None:
        """A filled polygon."""
        cv2.fillPoly(self.canvas, [self._pixels(corners)], 255 * strength, cv2.LINE_AA, _SHIFT)

    def _pixels(self, points: Points) -> NDArray[np.int32]:
        plate = self.plate
        sign = -1.0 if plate.is_left else 1.0
        scaled = points * np.array([sign * plate.radius_px, plate.radius_px])
        pixels = (scaled + np.array([plate.center_x_px, plate.center_y_px])) * _FINER - 0.5
        return np.asarray(np.round(pixels * 2**_SHIFT), dtype=np.int32)


def blur(plane: Plane, sigma_px: float) -> Plane:
    """``plane`` [height, width] through a Gaussian; below a fifth of a pixel it is left as it is."""
    if sigma_px < 0.2:
        return plane
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma_px), dtype=np.float32)


def each(colour: NDArray[np.floating[Any]]) -> Plane:
    """A value a colour [3] as [3, 1, 1], to go with [3, height, width]."""
    return colour.astype(np.float32)[:, None, None]


def absorb(picture: Plane, exponent: NDArray[np.floating[Any]], share: Plane) -> Plane:
    """``picture`` [3, h, w] behind ``share`` [h, w] of something that lets exp(-exponent [3]) of the light through."""
    passed = share * each(-exponent)
    np.exp(passed, out=passed)
    passed *= picture
    return np.asarray(passed, dtype=np.float32)


def mix(picture: Plane, colour: NDArray[np.floating[Any]], share: Plane) -> Plane:
    """``picture`` [3, h, w] with ``share`` [h, w] of a colour [3] laid over it."""
    mixed = each(colour) - picture
    mixed *= share
    mixed += picture
    return np.asarray(mixed, dtype=np.float32)
