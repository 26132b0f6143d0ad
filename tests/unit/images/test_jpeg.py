"""Every kind of picture file becomes upright RGB or an UnreadableImageError with a reason, never another error."""

import io
import pickle
import random

import numpy as np
import pytest
from PIL import Image

from raydr.images.jpeg import UnreadableImageError, decode, encode

HEIGHT, WIDTH = 48, 64


@pytest.fixture
def quadrants() -> np.ndarray:
    """Red top left, green top right, blue bottom left, white bottom right."""
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[:24, :32], image[:24, 32:], image[24:, :32], image[24:, 32:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reason_of(data: bytes, **options: float) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        decode(data, min_side_px=8, **options)
    return caught.value.reason


# What a camera does that holds its sensor so: the stored picture is the upright one turned by the inverse.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_sets_the_picture_upright(quadrants, kind, orientation):
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](quadrants)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(stored, kind, exif=exif)
    assert np.abs(decode(data, min_side_px=48).astype(int) - quadrants).mean() < 6


def test_a_broken_orientation_tag_does_not_lose_the_picture(quadrants):
    exif = Image.Exif()
    exif[0x0112] = 99
    assert decode(saved(Image.fromarray(quadrants), "JPEG", exif=exif), min_side_px=8).shape[2] == 3
    junk = saved(Image.fromarray(quadrants), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert decode(junk, min_side_px=48).shape == (HEIGHT, WIDTH, 3)


def test_cmyk_comes_out_in_the_same_colours(quadrants):
    data = saved(Image.fromarray(quadrants).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(decode(data, min_side_px=48).astype(int) - quadrants).mean() < 6


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA"])
def test_every_pixel_mode_becomes_rgb(mode):
    grey = Image.fromarray(np.tile(np.arange(0, 256, 4, dtype=np.uint8), (HEIGHT, 1)))
    found = decode(saved(grey.convert("RGB").convert(mode), "PNG"), min_side_px=8)
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert found.dtype == np.uint8
    assert found[0, 0].max() < 20
    assert found[0, -1].min() > 230


def test_greyscale_jpeg_has_three_equal_channels():
    found = decode(saved(Image.new("L", (20, 10), 77), "JPEG"), min_side_px=8)
    assert found.shape == (10, 20, 3)
    assert np.all(found == 77)


def test_sixteen_bit_png_keeps_its_brightness():
    wide = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (8, 1))
    found = decode(saved(Image.fromarray(wide), "PNG"), min_side_px=8)
    np.testing.assert_array_equal(found[0, :, 1], np.round(wide[0] / 257).astype(np.uint8))


def test_transparent_parts_are_black():
    hidden_white = Image.new("RGBA", (10, 10), (255, 255, 255, 0))
    assert decode(saved(hidden_white, "PNG"), min_side_px=8).max() == 0


def test_pixels_without_a_known_white_are_refused():
    assert reason_of(saved(Image.new("F", (10, 10), 0.5), "TIFF")) == "unsupported_pixels"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_truncated_file_is_called_truncated(kind, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    data = saved(noise, kind)
    assert reason_of(data[: int(share * len(data))]) == "truncated"


def test_zero_bytes_are_called_empty():
    assert reason_of(b"") == "empty"


@pytest.mark.parametrize("data", [b"image,level\n10_left,0\n", b"GIF89a" + bytes(40), b"%PDF-1.7", bytes(1000)])
def test_a_text_file_named_jpeg_or_another_format_is_not_an_image(data):
    assert reason_of(data) == "not_an_image"


def test_the_format_is_told_from_the_content_not_from_a_name(quadrants):
    """A PNG called .jpeg: decode sees bytes alone."""
    np.testing.assert_array_equal(decode(saved(Image.fromarray(quadrants), "PNG"), min_side_px=8), quadrants)


def test_a_picture_over_the_limit_is_refused_from_its_header():
    header = saved(Image.new("L", (3000, 2000)), "PNG")[:100]  # no pixel can be decoded from it
    assert reason_of(header, max_megapixels=5.9) == "too_large"
    assert reason_of(header, max_megapixels=6.1) == "truncated"


def test_a_decompression_bomb_is_refused_whatever_the_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert reason_of(saved(Image.new("L", (100, 100)), "PNG"), max_megapixels=1e9) == "too_large"


@pytest.mark.parametrize("min_side_px", [10, 60, 120, 121, 240, 241, 400])
def test_the_dct_scale_is_the_smallest_with_enough_pixels(min_side_px):
    data = saved(Image.new("RGB", (720, 480), (90, 60, 30)), "JPEG")
    found = decode(data, min_side_px=min_side_px)
    side = min(found.shape[:2])
    assert side >= min_side_px
    assert side == min(scaled for scaled in (60, 120, 240, 480) if scaled >= min_side_px)


def test_a_picture_smaller_than_asked_for_keeps_its_size():
    assert decode(saved(Image.new("RGB", (72, 48)), "JPEG"), min_side_px=100).shape == (48, 72, 3)


def test_encode_then_decode_keeps_small_red_dots_red():
    image = np.full((40, 40, 3), (200, 110, 60), dtype=np.uint8)
    image[20:22, 20:22] = (130, 20, 15)
    found = decode(encode(image), min_side_px=40).astype(int)
    assert np.abs(found[20:22, 20:22] - (130, 20, 15)).max() < 30


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_damaged_bytes_raise_nothing_else(kind):
    generator = random.Random(0)
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    whole = saved(Image.fromarray(noise), kind)
    reasons = set()
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 20)):
            data[generator.randrange(len(data) if generator.random() < 0.5 else 100)] = generator.randrange(256)
        try:
            decode(bytes(data[: generator.randrange(len(data)) if generator.random() < 0.3 else None]), min_side_px=8)
        except UnreadableImageError as error:
            reasons.add(error.reason)
    assert reasons <= {"empty", "not_an_image", "truncated", "too_large", "unsupported_pixels", "unreadable"}
    assert len(reasons) >= 2


def test_the_error_survives_the_way_from_a_worker():
    error = pickle.loads(pickle.dumps(UnreadableImageError("truncated", "cut")))
    assert (error.reason, error.message, str(error)) == ("truncated", "cut", "truncated: cut")


def test_a_side_below_one_is_the_callers_mistake():
    with pytest.raises(ValueError, match="min_side_px"):
        decode(b"x", min_side_px=0)
