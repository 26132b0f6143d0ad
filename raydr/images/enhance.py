"""Enhancement of a retina's square picture: what evens out cameras, lamps and pigment."""

from typing import Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from raydr.images.fundus import find_retina

Enhancement = Literal["none", "equalize", "clahe", "graham"]

_CLAHE_CLIP: Final = 2.0
_CLAHE_TILES: Final = 8
_GRAHAM_GAIN: Final = 4.0
_GRAHAM_SIGMA: Final = 1 / 60  # of the side: a thirtieth of the retina's radius
_GRAHAM_GREY: Final = 128.0
_RIM: Final = 0.01  # of the side


def enhance(image: NDArray[np.uint8], kind: Enhancement) -> NDArray[np.uint8]:
    """The picture [height, width, 3] enhanced over its retina, black around it; ``none`` is the picture as it is.

    Statistics are taken over the retina alone: the share of black around it says nothing about the eye, and stretching
    the sensor's noise there would paint it.

    Args:
        image: RGB.
        kind: ``equalize``: every channel's histogram made flat, as public copies of EyePACS come.
            ``clahe``: contrast-limited adaptive equalisation of the lightness (Zuiderveld 1994,
            doi:10.1016/B978-0-12-336156-1.50061-6), 8x8 tiles, clip 2.
            ``graham``: four times the difference from the local mean colour, on grey 128 (B. Graham, winning entry of
            Kaggle Diabetic Retinopathy Detection 2015); the mean is over the retina only, so its edge has no halo.
    """
    if kind == "none":
        return image
    if kind not in get_args(Enhancement):
        raise ValueError(f"kind must be one of {', '.join(get_args(Enhancement))}, got {kind!r}")
    is_retina = find_retina(image)
    if kind == "equalize":
        changed = _equalized(image, is_retina)
    elif kind == "clahe":
        changed = _clahe(image)
    else:
        changed = _graham(image, is_retina)
    return np.where(is_retina[:, :, None], changed, np.uint8(0))


def _equalized(image: NDArray[np.uint8], is_retina: NDArray[np.bool_]) -> NDArray[np.uint8]:
    changed = np.empty_like(image)
    for channel in range(3):
        values = image[:, :, channel]
        below = np.cumsum(np.bincount(values[is_retina], minlength=256))
        darkest = below[np.argmax(below > 0)]
        # Equalisation maps the darkest value to 0; a channel of one value has nothing to spread and stays.
        if darkest == below[-1]:
            changed[:, :, channel] = values
            continue
        level = np.clip((below - darkest) / (below[-1] - darkest), 0.0, 1.0)
        changed[:, :, channel] = np.round(255 * level).astype(np.uint8)[values]
    return changed


def _clahe(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = cv2.createCLAHE(_CLAHE_CLIP, (_CLAHE_TILES, _CLAHE_TILES)).apply(lab[:, :, 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), dtype=np.uint8)


def _graham(image: NDArray[np.uint8], is_retina: NDArray[np.bool_]) -> NDArray[np.uint8]:
    sigma = _GRAHAM_SIGMA * len(image)
    # The retina's rim is part surround; counted in the mean it would light a ring beside itself.
    reach = 2 * max(1, round(_RIM * len(image))) + 1
    around = np.ones((reach, reach), dtype=np.uint8)
    inner = cv2.erode(is_retina.astype(np.float32), around, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    weight = np.asarray(inner, dtype=np.float32)[:, :, None]
    colour = image.astype(np.float32)
    total = cv2.GaussianBlur(colour * weight, (0, 0), sigma)
    share = cv2.GaussianBlur(weight[:, :, 0], (0, 0), sigma)[:, :, None]
    mean = total / np.maximum(share, 1e-3)
    return np.clip(np.round(_GRAHAM_GREY + _GRAHAM_GAIN * (colour - mean)), 0, 255).astype(np.uint8)
