"""Picture files to RGB arrays and back, reading no more of a JPEG than is needed."""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Fundus pictures come as these three; every further Pillow plugin would only be open to hostile files.
_FORMATS: Final = ("JPEG", "PNG", "TIFF")
# How a file of each kind starts, and what a whole one has near its end (TIFF has no such mark).
_SIGNATURES: Final = {
    b"\xff\xd8": b"\xff\xd9",
    b"\x89PNG\r\n\x1a\n": b"IEND",
    b"II*\x00": b"",
    b"MM\x00*": b"",
}
# What Pillow's three readers raise on damaged files: OSError for most (UnidentifiedImageError is one), SyntaxError and
# ValueError for broken chunks, zlib.error and struct.error from below, the rest from tags of a wrong type or number.
_DAMAGE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RuntimeError,
    AttributeError,
    AssertionError,
    struct.error,
    zlib.error,
)
_ORIENTATION_TAG: Final = 0x0112
# EXIF orientation (CIPA DC-008, table 6) to the turn that sets the picture upright.
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_THEIR_SIDE: Final = frozenset(_UPRIGHT[orientation] for orientation in (5, 6, 7, 8))


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture, upright."""

    pixels: NDArray[np.uint8]
    """RGB [height, width, 3], at the scale that was asked for."""
    width_px: int
    """Of the file's picture at its own size, upright as well."""
    height_px: int


class UnreadableImageError(ValueError):
    """A file that does not hold a picture that can be used; ``reason`` is a short code to count by.

    Codes: ``empty``, ``not_an_image``, ``truncated``, ``too_large``, ``unsupported_pixels``, ``unreadable``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message

    def __reduce__(self) -> tuple[type["UnreadableImageError"], tuple[str, str]]:
        """Both arguments, so that the error survives the way from a worker process."""
        return type(self), (self.reason, self.message)


def decode(data: bytes, *, min_side_px: int, max_megapixels: float = 200.0) -> NDArray[np.uint8]:
    """The picture as RGB [height, width, 3], upright.

    A JPEG is decoded at the smallest DCT scale (1, 1/2, 1/4 or 1/8) whose shorter side still has ``min_side_px``;
    anything else, and a smaller JPEG, at its own size. The format is told from the content.

    Args:
        data: The whole file: JPEG, PNG or TIFF (first page).
        min_side_px: The shorter side needed.
        max_megapixels: A larger picture is refused from its header alone. Pillow's own limit (it warns above 89 and
            refuses above 179 megapixels unless the program changed ``Image.MAX_IMAGE_PIXELS``) holds as well.

    Raises:
        UnreadableImageError: The only error that a file's content can cause.
    """
    return decode_picture(data, min_side_px=min_side_px, max_megapixels=max_megapixels).pixels


def decode_picture(data: bytes, *, min_side_px: int, max_megapixels: float = 200.0) -> Picture:
    """What ``decode`` returns and raises, with the picture's own size."""
    if min_side_px < 1:
        raise ValueError(f"min_side_px must be at least 1, got {min_side_px}")
    if not data:
        raise UnreadableImageError("empty", "the file has no bytes")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            megapixels = image.width * image.height / 1e6
            if megapixels > max_megapixels:
                raise UnreadableImageError(
                    "too_large", f"{image.width}x{image.height} is over {max_megapixels:g} megapixels"
                )
            width, height = image.size
            image.draft(None, (min_side_px, min_side_px))
            image.load()
            turn = _turn(image)
            rgb = _to_rgb(image)
            if turn in _ON_THEIR_SIDE:
                width, height = height, width
            pixels = np.array(rgb if turn is None else rgb.transpose(turn), dtype=np.uint8)
            return Picture(pixels, width, height)
    except UnreadableImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImageError("too_large", str(error)) from error
    except _DAMAGE as error:
        raise _diagnosis(data, error) from error


def encode(image: NDArray[np.uint8], *, quality: int = 92) -> bytes:
    """The picture [height, width, 3] as JPEG, colour at full resolution: a microaneurysm is 2 to 4 pixels of red."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality, subsampling="4:4:4")
    return buffer.getvalue()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.float32)
        return Image.fromarray(np.round(wide / 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise UnreadableImageError("unsupported_pixels", f"mode {image.mode}: the value of white is not known")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        # Black is what surrounds a retina; dropping alpha would show whatever colour the transparent part hides.
        opaque = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, (0, 0, 0, 255)), opaque).convert("RGB")
    return image.convert("RGB")


def _turn(opened: Image.Image) -> Image.Transpose | None:
    """The turn that sets the picture upright."""
    try:
        orientation = opened.getexif().get(_ORIENTATION_TAG)
    except _DAMAGE:
        return None  # A broken tag beside a sound picture is no reason to lose the picture.
    return _UPRIGHT.get(orientation) if isinstance(orientation, int) else None


def _diagnosis(data: bytes, error: BaseException) -> UnreadableImageError:
    for signature, end in _SIGNATURES.items():
        if data.startswith(signature):
            is_cut = "truncated" in str(error).lower() or end not in data[-65_536:]
            return UnreadableImageError("truncated" if is_cut else "unreadable", str(error) or type(error).__name__)
    return UnreadableImageError("not_an_image", "not a JPEG, PNG or TIFF file")
