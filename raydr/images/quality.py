"""How well a retina can be judged from its photograph: sharpness and exposure over the retina alone."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from raydr.images.fundus import Sighting

_SIDE_PX: Final = 192  # of the disc where it is measured, so that pictures of any size have the same scale
_MARGIN: Final = 0.04  # of the side: the retina's own edge is sharp in every picture
_WHITE: Final = 221  # 0.87 of 255; a retina whose red and green are at their limit, its blue at 0, has 0.886
_BLACK: Final = 26  # 0.1 of 255
_FINE_SIGMA_PX: Final = 1.0
_COARSE_SIGMA_PX: Final = 2.0
_BLUR_REACH_PX: Final = 9
_FAINTEST: Final = 1 / 8  # of 255: a contrast that no detail has

# Found on phantoms and on photographs of three cameras, sharp, blurred, darkened and brightened, by looking at those on
# either side of each bound.
_MIN_FOCUS: Final = 0.6
_MAX_BLUR: Final = 0.55
_BRIGHTNESS: Final = (0.12, 0.85)
_MAX_OVEREXPOSED: Final = 0.3
_MAX_UNDEREXPOSED: Final = 0.4


@dataclass(frozen=True, slots=True)
class Quality:
    """A retina's sharpness and exposure; brightness is ITU-R BT.601 luma."""

    focus: float
    """0 or more, higher is sharper: the finest details' contrast over that of details twice as wide. Near 1 where every
    octave carries the same contrast, as natural scenes do (doi:10.1364/JOSAA.4.002379); 0 where none is seen."""
    blur: float
    """0 (sharp) to 1: how little a further blur changes neighbouring pixels (Crete et al. 2007,
    doi:10.1117/12.702790)."""
    brightness: float
    """Mean over the retina, 0 to 1."""
    overexposed: float
    """Share of the retina's pixels brighter than 0.87: their red and green are at the limit, or nearly."""
    underexposed: float
    """Share of the retina's pixels darker than 0.1."""
    disc_fraction: float
    """Share of the picture that the retina's circle covers; 0 where no disc can be seen."""
    gradable: bool
    """Estimated from the others by ``is_gradable``: no reader has judged it."""


def measure_quality(sighting: Sighting) -> Quality:
    """The quality of the retina that was sighted; of the whole picture, never gradable, where none was.

    Measured on the copy in which the disc was sought, reduced to a disc of at most 192 pixels, so that the size of the
    original hardly counts. Detail finer than that (about 70 um of a field of 45 degrees) is not judged.
    """
    luma, inner = _measured_part(sighting)
    num_pixels = cv2.countNonZero(inner)
    if not num_pixels:
        return Quality(0.0, 1.0, 0.0, 0.0, 1.0, 0.0, gradable=False)
    focus, blur = _focus(luma, inner), _blur(luma, inner)
    histogram = cv2.calcHist([luma], [0], inner, [256], [0, 256]).ravel() / num_pixels
    brightness = float(histogram @ np.arange(256)) / 255
    overexposed, underexposed = float(histogram[_WHITE + 1 :].sum()), float(histogram[:_BLACK].sum())
    disc_fraction = 0.0 if sighting.circle is None else sighting.disc.fraction
    return Quality(
        focus,
        blur,
        brightness,
        overexposed,
        underexposed,
        disc_fraction,
        gradable=is_gradable(
            focus=focus,
            blur=blur,
            brightness=brightness,
            overexposed=overexposed,
            underexposed=underexposed,
            disc_fraction=disc_fraction,
        ),
    )


def is_gradable(
    *, focus: float, blur: float, brightness: float, overexposed: float, underexposed: float, disc_fraction: float
) -> bool:
    """Whether a grader could probably use the picture: a disc is seen, sharp, and lit over most of its area.

    The bounds are wide: what is refused shows hardly a vessel. A Gaussian blur of 70 um (a hundred-and-ninetieth of the
    disc) is let through, one of 140 um is not. A picture whose histogram was equalised before it came here has the same
    brightness whatever its exposure was: only focus and blur can tell there.
    """
    return (
        disc_fraction > 0
        and focus >= _MIN_FOCUS
        and blur <= _MAX_BLUR
        and _BRIGHTNESS[0] <= brightness <= _BRIGHTNESS[1]
        and overexposed <= _MAX_OVEREXPOSED
        and underexposed <= _MAX_UNDEREXPOSED
    )


def _measured_part(sighting: Sighting) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Luma around the disc, and 1 where it belongs to the retina's inner part, else 0."""
    small, circle, is_retina = sighting.small, sighting.circle, sighting.is_retina
    height, width = small.shape[:2]
    if circle is None or is_retina is None:
        center_x, center_y, radius = width / 2, height / 2, max(height, width) / 2
        is_retina = np.ones((height, width), dtype=np.bool_)
    else:
        center_x, center_y, radius = circle
    rows = slice(max(0, round(center_y - radius)), max(1, round(center_y + radius)))
    columns = slice(max(0, round(center_x - radius)), max(1, round(center_x + radius)))
    grey = cv2.cvtColor(small[rows, columns], cv2.COLOR_RGB2GRAY)
    scale = min(1.0, _SIDE_PX / (2 * radius))
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    luma = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA)
    mask = cv2.resize(is_retina[rows, columns].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    reach = 2 * max(1, round(_MARGIN * 2 * radius * scale)) + 1
    inner = cv2.erode(mask, np.ones((reach, reach), dtype=np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(luma, dtype=np.uint8), np.asarray(inner, dtype=np.uint8)


def _focus(luma: NDArray[np.uint8], inner: NDArray[np.uint8]) -> float:
    # OpenCV's masked sums, here and below: numpy's boolean indexing takes several times as long.
    picture = luma.astype(np.float32)
    fine = cv2.GaussianBlur(picture, (0, 0), _FINE_SIGMA_PX)
    coarse = cv2.GaussianBlur(fine, (0, 0), (_COARSE_SIGMA_PX**2 - _FINE_SIGMA_PX**2) ** 0.5)
    _, finest = cv2.meanStdDev(picture - fine, mask=inner)
    _, wider = cv2.meanStdDev(fine - coarse, mask=inner)
    return float(finest[0, 0]) / max(float(wider[0, 0]), _FAINTEST)


def _blur(luma: NDArray[np.uint8], inner: NDArray[np.uint8]) -> float:
    along = luma.astype(np.float32), inner
    across = cv2.transpose(along[0]), cv2.transpose(inner)
    return max(_blur_along(*along), _blur_along(*across))


def _blur_along(luma: cv2.typing.MatLike, inner: cv2.typing.MatLike) -> float:
    softer = cv2.blur(luma, (_BLUR_REACH_PX, 1))
    sharp = cv2.absdiff(luma[:, 1:], luma[:, :-1])
    lost = np.maximum(cv2.subtract(sharp, cv2.absdiff(softer[:, 1:], softer[:, :-1])), 0)
    inside = np.ascontiguousarray(inner[:, 1:])
    total = cv2.mean(sharp, inside)[0]
    return 1.0 if total == 0 else 1 - cv2.mean(lost, inside)[0] / total
