"""Whether two fundus photographs are the same picture: a perceptual hash to find candidates, a correlation to tell.

All fundus photographs look alike at the scale that usual perceptual hashes see: a disc, a bright spot, a dark one. What
tells two retinas apart is finer, the vessels; they are what is left of the disc once its local mean is taken off.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from raydr.images.fundus import crop_retinal_disc, find_retina, find_retinal_disc

PATTERN_SIDE_PX: Final = 64
HASH_WORDS: Final = 4
"""64 bits each."""
MIN_SIDE_PX: Final = 192
"""A picture decoded to this shorter side has all that a fingerprint takes from it."""

_CROP_SIDE_PX: Final = 128
_FINE_SIGMA_PX: Final = 1.0  # of the crop: below it lies what a JPEG of low quality loses
_COARSE_SIGMA_PX: Final = 4.0  # above it lie lamp, pigment and the shape that all retinas share
_LOCAL_SIGMA_PX: Final = 7.0  # over which contrast is made even
_CONTRAST_FLOOR: Final = 0.3  # of the disc's own: less is noise, which must not be raised to the strength of vessels
_MIN_DETAIL: Final = 0.5  # grey levels of a picture that shows anything
_CLIP: Final = 1.6  # one reflex or spot of dust must not outweigh the vessels
_LEVELS: Final = 127 / _CLIP
_BLACK: Final = 8
_EDGE_PX: Final = 2
_RIM_PX: Final = 2  # cameras fade and notch the retina's rim in the same way for every eye
_REACH: Final = 0.43  # of the crop's side
_MIN_FREQUENCY: Final = 5.0  # cosines over the pattern's side: slower ones are alike in most eyes
_MAX_ITERATIONS: Final = 30
_EVERYWHERE: Final = np.ones((PATTERN_SIDE_PX, PATTERN_SIDE_PX), dtype=np.uint8)
_MIN_UNALIGNED: Final = 0.3
_MAX_TURN: Final = 0.12  # largest entry by which the aligning matrix may differ from one
_MAX_SHIFT_PX: Final = 6.0  # of the pattern


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is kept of a photograph to find its copies."""

    hash: NDArray[np.uint64]
    """[4]: 256 bits, the signs of the pattern's slowest cosines above ``5`` waves a disc."""
    pattern: NDArray[np.int8]
    """[64, 64]: the disc's fine structure at even contrast, 0 outside."""


def _hash_frequencies() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the cosine transform whose signs are the hash, slowest first."""
    row, column = np.mgrid[:PATTERN_SIDE_PX, :PATTERN_SIDE_PX]
    frequency = np.hypot(row, column)
    frequency[frequency < _MIN_FREQUENCY] = np.inf
    order = np.argsort(frequency, axis=None, kind="stable")[: 64 * HASH_WORDS]
    return row.ravel()[order], column.ravel()[order]


def _packed(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    return np.packbits(bits).view(np.uint64)


_ROWS, _COLUMNS = _hash_frequencies()
# Mirroring changes the sign of the cosines that are odd from left to right and of no other.
_MIRROR: Final = _packed(_COLUMNS % 2 == 1)


def fingerprint(image: NDArray[np.uint8]) -> Fingerprint | None:
    """The fingerprint of a photograph [height, width, 3], None where it shows nothing.

    The hash is made like pHash (C. Zauner 2010, *Implementation and Benchmarking of Perceptual Image Hash Functions*,
    Hagenberg; robust image hashing: doi:10.1109/ICIP.2000.899541), but not of the whole picture: of the retinal disc's
    green channel, its local mean removed and its local contrast made even.

    Args:
        image: RGB; ``MIN_SIDE_PX`` of shorter side or more lose nothing.
    """
    crop = crop_retinal_disc(image, find_retinal_disc(image), side_px=_CROP_SIDE_PX)
    pattern = _pattern(crop)
    if pattern is None:
        return None
    is_positive = np.asarray(cv2.dct(pattern))[_ROWS, _COLUMNS] > 0
    return Fingerprint(hash=_packed(is_positive), pattern=np.round(pattern * _LEVELS).astype(np.int8))


def mirrored_hash(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hashes [..., 4] of the same pictures with left and right exchanged."""
    return hashes ^ _MIRROR


def similarity(first: NDArray[np.int8], second: NDArray[np.int8]) -> float:
    """Correlation of two patterns [64, 64] once one is laid on the other, 0 where they do not fit: 1 is the same.

    The affine map that fits best is found by ECC (doi:10.1109/TPAMI.2008.113); it may turn, stretch and move a picture
    only as far as finding its disc twice may do. Patterns that correlate below 0.3 as they are are not aligned.
    """
    one, other = first.astype(np.float32), second.astype(np.float32)
    as_they_are = _correlation(one, other)
    if as_they_are < _MIN_UNALIGNED:
        return max(0.0, as_they_are)
    warp = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _MAX_ITERATIONS, 1e-3)
    try:
        aligned, found = cv2.findTransformECC(one, other, warp, cv2.MOTION_AFFINE, criteria, _EVERYWHERE, 1)
    except cv2.error:  # it found no fit
        return as_they_are
    off = np.abs(np.asarray(found) - np.eye(2, 3))
    if off[:, :2].max() > _MAX_TURN or off[:, 2].max() > _MAX_SHIFT_PX:
        return as_they_are
    return float(min(1.0, max(aligned, as_they_are)))


def _pattern(crop: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    # The mask's edge may lie a pixel or two outside the retina, where black would enter the means.
    retina = _shrunk(_retina(crop), _EDGE_PX)
    green = crop[:, :, 1].astype(np.float32)
    fine, coarse = _local_mean(green, retina, _FINE_SIGMA_PX), _local_mean(green, retina, _COARSE_SIGMA_PX)
    within = _shrunk(retina, _RIM_PX) * _WITHIN_REACH
    detail = (fine - coarse) * within
    overall = float(np.sqrt((detail**2).sum() / max(1.0, float(within.sum()))))
    if overall < _MIN_DETAIL:
        return None
    contrast = np.sqrt(_local_mean(detail**2, within, _LOCAL_SIGMA_PX))
    even = np.clip(detail / (contrast + _CONTRAST_FLOOR * overall), -_CLIP, _CLIP) * within
    small = cv2.resize(even, (PATTERN_SIDE_PX, PATTERN_SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32)


def _retina(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    found = find_retina(crop)
    if found.all():  # No disc was seen: the picture's frame cuts it on all sides. What is black was put around it.
        found = crop.max(axis=2) > _BLACK
    return found.astype(np.float32)


def _shrunk(mask: NDArray[np.float32], by_px: int) -> NDArray[np.float32]:
    around = np.ones((2 * by_px + 1, 2 * by_px + 1), dtype=np.uint8)
    return np.asarray(cv2.erode(mask, around, borderType=cv2.BORDER_CONSTANT, borderValue=0), dtype=np.float32)


def _within_reach() -> NDArray[np.float32]:
    offset = np.arange(_CROP_SIDE_PX) + 0.5 - _CROP_SIDE_PX / 2
    distance = np.hypot(offset[:, None], offset[None, :])
    return np.asarray(distance <= _REACH * _CROP_SIDE_PX, dtype=np.float32)


_WITHIN_REACH: Final = _within_reach()


def _local_mean(values: NDArray[np.float32], weight: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """The weighted mean around every pixel: what lies outside the retina has no say in it."""
    total = cv2.GaussianBlur(values * weight, (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
    share = cv2.GaussianBlur(weight, (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(total / np.maximum(share, 1e-3), dtype=np.float32)


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    one, other = first.ravel() - first.mean(), second.ravel() - second.mean()
    return float(one @ other / max(1e-6, float(np.linalg.norm(one) * np.linalg.norm(other))))
