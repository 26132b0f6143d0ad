"""Colours of an embedded ICC profile (ISO 15076-1) as sRGB."""

import io
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageCms

_MAX_PROFILE_BYTES: Final = 4 << 20  # printers' profiles reach 3 MB
_COLOUR_SPACES: Final = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
_MAX_DIFFERENCE: Final = 2  # of 255: the many profiles called sRGB differ by rounding


def srgb_transform(profile: object, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform to sRGB of pictures of a Pillow mode; None where their colours are to be taken as they are.

    That is so without a profile, with sRGB itself, and with one that is broken or of another kind of picture. Cameras
    put one profile into all their files: the last few are kept, and a known one costs microseconds.
    """
    if not isinstance(profile, bytes) or not 0 < len(profile) <= _MAX_PROFILE_BYTES or mode not in _COLOUR_SPACES:
        return None
    return _transform(profile, mode)


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _COLOUR_SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
        return transform if mode == "CMYK" or _changes(transform, mode) else None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError, MemoryError):
        return None


def _changes(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    samples = levels[None] if mode == "L" else np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    image = Image.fromarray(samples)
    plain = np.asarray(image.convert("RGB"), dtype=int)
    return int(np.abs(np.asarray(transform.apply(image), dtype=int) - plain).max()) > _MAX_DIFFERENCE
