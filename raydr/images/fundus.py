"""Where the retina is in a fundus photograph, and the square around it.

A fundus camera shows a bright disc on black. The disc may lie off-centre, be cut by the frame or by the camera's mask,
fade into the dark, and share the picture with text.
"""

from dataclasses import dataclass
from math import floor, hypot
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from raydr.images.resize import resize

_WORKING_SIDE_PX: Final = 384  # the disc's edge is found to about half a pixel of this
_MIN_CONTRAST: Final = 8.0  # brightest tenth over background, of 255: below it there is no disc to see
# Shares of the contrast at which the retina may begin. The lowest that gives a disc is right: a retina fades outwards.
_EDGE_LEVELS: Final = (0.06, 0.1, 0.16, 0.25, 0.4)
_GOOD_AGREEMENT: Final = 0.94
_MIN_AGREEMENT: Final = 0.85
_GOOD_SUPPORT: Final = 0.75  # of the region's corners that lie on the circle
_MIN_ARC_SHARE: Final = 0.25  # of the circle: a rectangle's four corners lie on a circle as well
_ARC_BINS: Final = 24
_NUM_HYPOTHESES: Final = 400
_FRAME_TOLERANCE: Final = 0.02  # of the side: a disc that fills a square picture this closely is left as it is


Circle = tuple[float, float, float]
"""Centre x, centre y and radius."""


@dataclass(frozen=True, slots=True)
class RetinalDisc:
    """The circle of the field of view in pixels of its picture (a pixel's centre is at +0.5)."""

    center_x_px: float
    center_y_px: float
    radius_px: float
    fraction: float
    """The share of the picture that the circle covers."""

    def scaled(self, factor: float) -> "RetinalDisc":
        """The same disc in pixels of a copy that is ``factor`` times as wide and high."""
        return RetinalDisc(self.center_x_px * factor, self.center_y_px * factor, self.radius_px * factor, self.fraction)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a search for the retina saw."""

    disc: RetinalDisc
    """In pixels of the picture that was searched."""
    small: NDArray[np.uint8]
    """The copy [height, width, 3] that was looked at, at most 384 pixels wide and high."""
    circle: Circle | None
    """The disc in pixels of ``small``; None where no disc can be seen."""
    is_retina: NDArray[np.bool_] | None
    """Where the retina shows in ``small``; None where no disc can be seen."""


def find_retinal_disc(image: NDArray[np.uint8]) -> RetinalDisc:
    """The retina's circle in [height, width, 3]; where none can be seen, the whole picture's.

    The brightest connected region is cut out at rising levels; a circle is fitted to its convex hull's corners, which
    lie on the retina's edge and not along straight cuts or shadows (RANSAC, doi:10.1145/358669.358692, with a fixed
    seed). The first circle that explains its region and nearly all its corners is taken, else the best one. The whole
    picture's circle has half the longer side as radius, so that nothing is lost.
    """
    return sight_retina(image).disc


def sight_retina(image: NDArray[np.uint8]) -> Sighting:
    """The disc that ``find_retinal_disc`` finds in [height, width, 3], with the small copy in which it was found."""
    height, width = image.shape[:2]
    small, (scale_x, scale_y) = _working_copy(image)
    small_height, small_width = small.shape[:2]
    found = _find_region(_brightness(small))
    if found is None:
        return Sighting(_whole_picture(height, width), small, None, None)
    circle, hull = found
    center_x, center_y, radius = circle
    covered = float(_circle_mask((small_height, small_width), circle).mean())
    disc = RetinalDisc(center_x * scale_x, center_y * scale_y, radius * max(scale_x, scale_y), covered)
    return Sighting(disc, small, circle, _hull_mask(hull, (small_height, small_width)))


def _working_copy(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """The picture at most 384 pixels wide and high, and the picture's pixels for one of the copy's, across and down."""
    factor = 1
    while max(image.shape) >= 2 * _WORKING_SIDE_PX and min(image.shape[:2]) > 1:
        # Halving even sides is ten times as fast as any other reduction; a last odd row or column is let go.
        height, width = image.shape[0] // 2, image.shape[1] // 2
        even = image[: 2 * height, : 2 * width]
        image = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        factor *= 2
    height, width = image.shape[:2]
    scale = min(1.0, _WORKING_SIDE_PX / max(height, width))
    # Integer size, hence a scale an axis: the two differ by less than a pixel.
    small_width, small_height = max(1, round(width * scale)), max(1, round(height * scale))
    small = image
    if scale < 1:
        way = cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA
        small = np.asarray(cv2.resize(image, (small_width, small_height), interpolation=way), dtype=np.uint8)
    return small, (factor * width / small_width, factor * height / small_height)


def find_retina(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the retina shows in [height, width, 3], as [height, width]; everywhere, where no disc can be seen.

    Convex, so that dark lesions are in it; unlike the disc's circle it ends where the camera's mask cuts the disc.
    """
    height, width = image.shape[:2]
    found = _find_region(_brightness(image))
    if found is None:
        return np.ones((height, width), dtype=np.bool_)
    _, hull = found
    return _hull_mask(hull, (height, width))


def crop_retinal_disc(image: NDArray[np.uint8], disc: RetinalDisc, *, side_px: int) -> NDArray[np.uint8]:
    """The square around the disc as [side_px, side_px, 3], black where it reaches beyond the picture.

    A square picture that the disc fills within 2 % is only resized: cropping it again would shift it for nothing.
    """
    height, width = image.shape[:2]
    slack = _FRAME_TOLERANCE * height
    if (
        height == width
        and abs(2 * disc.radius_px - height) <= slack
        and hypot(disc.center_x_px - width / 2, disc.center_y_px - height / 2) <= slack
    ):
        return resize(image, width=side_px, height=side_px)
    box_side = max(1, round(2 * disc.radius_px))
    left, top = round(disc.center_x_px - box_side / 2), round(disc.center_y_px - box_side / 2)
    return _cut_square(image, left=left, top=top, box_side=box_side, side_px=side_px)


def pad_to_square(image: NDArray[np.uint8], *, side_px: int) -> NDArray[np.uint8]:
    """The whole picture in the middle of a black square, as [side_px, side_px, 3]."""
    height, width = image.shape[:2]
    box_side = max(height, width)
    left, top = -((box_side - width) // 2), -((box_side - height) // 2)
    return _cut_square(image, left=left, top=top, box_side=box_side, side_px=side_px)


def _cut_square(image: NDArray[np.uint8], *, left: int, top: int, box_side: int, side_px: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    rows, columns = (max(top, 0), min(top + box_side, height)), (max(left, 0), min(left + box_side, width))
    square = np.zeros((side_px, side_px, 3), dtype=np.uint8)
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        return square
    # The picture's part is resized and then placed: the padded square of a long thin picture may not fit in memory.
    (y0, y1), (x0, x1) = _placed(rows, top, side_px / box_side), _placed(columns, left, side_px / box_side)
    square[y0:y1, x0:x1] = resize(image[slice(*rows), slice(*columns)], width=x1 - x0, height=y1 - y0)
    return square


def _placed(part: tuple[int, int], start: int, scale: float) -> tuple[int, int]:
    """Where a stretch of the picture comes to lie in the square: whole pixels, at least one."""
    low = floor((part[0] - start) * scale + 0.5)
    high = floor((part[1] - start) * scale + 0.5)
    return (low, high) if low < high else (max(0, high - 1), max(1, high))


def _whole_picture(height: int, width: int) -> RetinalDisc:
    radius = max(height, width) / 2
    # Its circle leaves out a square picture's corners, its square nothing: the square is what is cropped.
    circle = (width / 2, height / 2, radius)
    return RetinalDisc(*circle, fraction=float(_circle_mask((height, width), circle).mean()))


def _brightness(image: cv2.typing.MatLike) -> NDArray[np.float32]:
    # Channel by channel: numpy's maximum over a last axis of three takes twenty times as long.
    brightest = cv2.max(cv2.max(image[:, :, 0], image[:, :, 1]), image[:, :, 2])
    # A median leaves the edge where it is, which a mean moves outwards by its own width; a mean keeps dense noise low.
    mean = cv2.GaussianBlur(brightest.astype(np.float32), (0, 0), 1.0)
    return np.asarray(np.minimum(cv2.medianBlur(brightest, 5), mean), dtype=np.float32)


def _find_region(brightness: NDArray[np.float32]) -> tuple[Circle, NDArray[np.float64]] | None:
    """The retina's circle and the corners of the region it was fitted to, None where there is no disc."""
    background = _background_level(brightness)
    # Every other pixel of every other row tells as much in a quarter of the time.
    contrast = float(np.percentile(brightness[::2, ::2], 90)) - background
    if contrast < _MIN_CONTRAST:
        return None
    best, best_score = None, 0.0
    for level in _EDGE_LEVELS:
        hull = _region_hull((brightness > background + max(3.0, level * contrast)).astype(np.uint8))
        fitted = None if hull is None else _fit_circle(hull, brightness.shape)
        if hull is None or fitted is None:
            continue
        circle, support = fitted
        agreement = _agreement(hull, circle, brightness.shape)
        if agreement >= _GOOD_AGREEMENT and support >= _GOOD_SUPPORT:
            return circle, hull
        if agreement >= _MIN_AGREEMENT and agreement * support > best_score:
            best, best_score = (circle, hull), agreement * support
    return best


def _background_level(brightness: NDArray[np.float32]) -> float:
    """The darkest corner's median: text or a cut disc may fill some of the corners, seldom all."""
    height, width = brightness.shape
    patch = max(1, min(height, width) // 32)
    rows, columns = (slice(None, patch), slice(-patch, None)), (slice(None, patch), slice(-patch, None))
    return min(float(np.median(brightness[row, column])) for row in rows for column in columns)


def _region_hull(bright: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Corners [n, 2] (x, y) of the largest bright region's convex hull, None where that is too small for a retina."""
    # Opening takes off text that touches the disc, and the tab that some cameras put on its edge.
    reach = max(3, min(bright.shape) // 40) | 1
    opened = cv2.morphologyEx(bright, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    contours, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea, default=None)
    if largest is None or cv2.contourArea(largest) < 0.03 * bright.size:
        return None
    return np.asarray(cv2.convexHull(largest)[:, 0], dtype=np.float64)


def _fit_circle(hull: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[Circle, float] | None:
    """The circle through most of the corners inside the picture, and their share."""
    height, width = shape[:2]
    # Where the frame cuts the disc, the region's edge is the frame's and says nothing about the circle.
    inside = (hull[:, 0] > 1) & (hull[:, 1] > 1) & (hull[:, 0] < width - 2) & (hull[:, 1] < height - 2)
    points = hull[inside] + 0.5
    if len(points) < 8:
        return None
    circles = _circles_through(points[np.random.default_rng(0).integers(0, len(points), (_NUM_HYPOTHESES, 3))])
    radius = circles[:, 2]
    circles = circles[(radius > 0.15 * min(height, width)) & (radius < 0.75 * max(height, width))]
    if not len(circles):
        return None
    tolerance = max(1.0, 0.006 * max(height, width))
    # numpy's hypot takes three times as long.
    distance = np.sqrt((points[:, 0] - circles[:, :1]) ** 2 + (points[:, 1] - circles[:, 1:2]) ** 2)
    is_near = np.abs(distance - circles[:, 2:]) < tolerance
    arc = points[is_near[np.argmax(is_near.sum(axis=1))]]
    center_x, center_y, radius_px = _least_squares_circle(arc)
    angle = np.arctan2(arc[:, 1] - center_y, arc[:, 0] - center_x)
    bins = np.unique(np.floor((angle / (2 * np.pi) + 0.5) * _ARC_BINS).astype(int) % _ARC_BINS)
    if len(bins) < _MIN_ARC_SHARE * _ARC_BINS:
        return None
    # A region ends on its last bright pixel's centre, half a pixel inside its edge.
    return (center_x, center_y, radius_px + 0.5), len(arc) / len(points)


def _circles_through(triples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Circles [n, 3] (x, y, radius) through point triples [n, 3, 2]; those of three points in a line are left out."""
    first = triples[:, 0]
    (bx, by), (cx, cy) = (triples[:, 1] - first).T, (triples[:, 2] - first).T
    cross = 2 * (bx * cy - by * cx)
    is_proper = np.abs(cross) > 1e-6
    bx, by, cx, cy, cross = bx[is_proper], by[is_proper], cx[is_proper], cy[is_proper], cross[is_proper]
    x = (cy * (bx**2 + by**2) - by * (cx**2 + cy**2)) / cross
    y = (bx * (cx**2 + cy**2) - cx * (bx**2 + by**2)) / cross
    return np.column_stack([first[is_proper, 0] + x, first[is_proper, 1] + y, np.hypot(x, y)])


def _least_squares_circle(points: NDArray[np.float64]) -> Circle:
    """The circle nearest to points [n, 2] in algebraic distance (Kåsa, doi:10.1109/TIM.1976.6312298)."""
    middle = points.mean(axis=0)
    x, y = (points - middle).T
    solution = np.linalg.lstsq(np.column_stack([x, y, np.ones(len(x))]), x**2 + y**2, rcond=None)[0]
    center = solution[:2] / 2
    radius = float(np.sqrt(max(solution[2] + center @ center, 0.0)))
    return float(middle[0] + center[0]), float(middle[1] + center[1]), radius


def _agreement(hull: NDArray[np.float64], circle: Circle, shape: tuple[int, ...]) -> float:
    """Intersection over union of the region and the circle, the circle cut to the region's bounding box."""
    is_region = _hull_mask(hull, shape)
    (left, top), (right, bottom) = hull.min(axis=0).astype(int), hull.max(axis=0).astype(int)
    box = np.zeros(shape[:2], dtype=bool)
    box[top : bottom + 1, left : right + 1] = True
    cut_circle = _circle_mask(shape, circle) & box
    return float((cut_circle & is_region).sum() / max(1, (cut_circle | is_region).sum()))


def _hull_mask(hull: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    region = np.zeros(shape[:2], dtype=np.uint8)
    cv2.fillConvexPoly(region, hull.astype(np.int32), 1)
    return region.astype(np.bool_)


def _circle_mask(shape: tuple[int, ...], circle: Circle) -> NDArray[np.bool_]:
    center_x, center_y, radius = circle
    y, x = np.arange(shape[0])[:, None] + 0.5, np.arange(shape[1])[None, :] + 0.5
    return np.asarray((x - center_x) ** 2 + (y - center_y) ** 2 <= radius**2)
