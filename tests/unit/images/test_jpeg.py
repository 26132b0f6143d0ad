"""Every kind of picture file becomes upright RGB or an UnreadableImageError with a reason, never another error."""

import io
import pickle
import random
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from raydr.images import jpeg
from raydr.images.jpeg import UnreadableImageError, decode, decode_picture, encode

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


def png_chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pictures_own_size_is_told_upright(quadrants, orientation):
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](np.tile(quadrants, (8, 8, 1)))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode_picture(saved(stored, "JPEG", exif=exif), min_side_px=48)
    assert (found.width_px, found.height_px) == (8 * WIDTH, 8 * HEIGHT)
    assert found.pixels.shape == (HEIGHT, WIDTH, 3)


def test_cmyk_comes_out_in_the_same_colours(quadrants):
    data = saved(Image.fromarray(quadrants).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(decode(data, min_side_px=48).astype(int) - quadrants).mean() < 6


def test_cmyk_is_taken_as_adobe_writes_it_marked_or_not():
    """Adobe writes its ink inverted; nearly every CMYK JPEG is so, its APP14 segment may be lost."""
    cyan = saved(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=95)
    start = cyan.index(b"Adobe") - 4
    unmarked = cyan[:start] + cyan[start + 2 + int.from_bytes(cyan[start + 2 : start + 4], "big") :]
    for data in (cyan, unmarked):
        assert np.abs(decode(data, min_side_px=8).astype(int) - (0, 255, 255)).max() < 8


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


def test_sixteen_bit_colour_png_keeps_its_brightness():
    levels = np.linspace(0, 65535, 64).astype(">u2")
    rows = b"".join(b"\0" + np.repeat(levels, 3).tobytes() for _ in range(4))  # a row begins with its filter: none
    header = (64).to_bytes(4, "big") + (4).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
    found = decode(data, min_side_px=8)
    assert found.shape == (4, 64, 3)
    assert np.abs(found[2, :, 1].astype(int) - levels.astype(int) // 257).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_has_three_equal_channels(kind):
    found = decode(saved(Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)), kind), min_side_px=8)
    assert (found == round(40_000 / 257)).all()


def test_transparent_parts_are_black():
    hidden_white = Image.new("RGBA", (10, 10), (255, 255, 255, 0))
    assert decode(saved(hidden_white, "PNG"), min_side_px=8).max() == 0


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("size", [(301, 203), (64, 48), (9, 17)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_both_decoders_give_the_same_pixels(progressive, subsampling, size, mode, monkeypatch):
    """The faster one where a file is sound, Pillow where it is not: which of them it was must not show."""
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise).convert(mode)
    data = saved(image, "JPEG", quality=60, progressive=progressive, subsampling=subsampling)
    fast = [decode(data, min_side_px=side) for side in (8, 24, 60, 400)]

    def fail(*_args, **_options):
        raise ValueError("not today")

    monkeypatch.setattr(jpeg.simplejpeg, "decode_jpeg", fail)
    for side, expected in zip((8, 24, 60, 400), fast, strict=True):
        np.testing.assert_array_equal(decode(data, min_side_px=side), expected)


def test_a_progressive_jpeg_is_reduced_like_any_other(quadrants):
    large = Image.fromarray(quadrants).resize((8 * WIDTH, 8 * HEIGHT), Image.Resampling.NEAREST)
    found = decode(saved(large, "JPEG", progressive=True), min_side_px=HEIGHT)
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(found.astype(int) - quadrants).mean() < 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("garbage", [b"\0" * 5000, b"\xff\xd8\xff\xe0 not a second picture" * 50])
def test_what_follows_the_end_is_ignored(quadrants, kind, garbage):
    data = saved(Image.fromarray(quadrants), kind)
    np.testing.assert_array_equal(decode(data + garbage, min_side_px=48), decode(data, min_side_px=48))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_taken(quadrants, kind):
    later = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("black", "yellow")]
    data = saved(Image.fromarray(quadrants), kind, save_all=True, append_images=later)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert np.abs(decode(data, min_side_px=48).astype(int) - quadrants).mean() < 6


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "BMP", "ICO"])
def test_other_formats_are_not_an_image_whatever_their_name(kind):
    assert reason_of(saved(Image.new("RGB", (32, 32), "red"), kind)) == "not_an_image"


def test_pixels_without_a_known_white_are_refused():
    assert reason_of(saved(Image.new("F", (10, 10), 0.5), "TIFF")) == "unsupported_pixels"
    assert reason_of(saved(Image.new("I", (10, 10), 70_000), "TIFF")) == "unsupported_pixels"
    assert reason_of(saved(Image.new("LAB", (10, 10)), "TIFF")) == "unsupported_pixels"


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("TIFF", {})]
)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 0.95, 0.99])
def test_a_truncated_file_is_called_truncated(kind, options, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    data = saved(noise, kind, **options)
    assert reason_of(data[: int(share * len(data))]) == "truncated"


def test_every_cut_of_a_jpeg_has_a_reason():
    data = encode(np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8))
    reasons = {reason_of(data[:length]) for length in range(1, len(data) - 1, 7)}
    assert reasons <= {"truncated", "not_an_image"}  # of one byte nobody can tell what it was


def test_a_compressed_tiff_without_its_directory_is_unreadable():
    data = saved(Image.new("RGB", (64, 64), "red"), "TIFF", compression="tiff_lzw")
    with pytest.raises(UnreadableImageError, match="unreadable: its header makes no sense"):
        decode(data[: len(data) // 2], min_side_px=8)


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_small_file_that_claims_a_huge_picture_costs_nothing(kind):
    small = saved(Image.new("L", (1000, 1003)), kind)
    if kind == "JPEG":
        at = small.index(b"\xff\xc0") + 5
        bomb = small[:at] + (60_000).to_bytes(2, "big") * 2 + small[at + 4 :]
    elif kind == "PNG":
        header = (100_000).to_bytes(4, "big") * 2 + small[24:29]
        bomb = small[:8] + png_chunk(b"IHDR", header) + small[33:]
    else:
        pixels = struct.pack("<HHII", 256, 4, 1, 1000), struct.pack("<HHII", 257, 4, 1, 1003)
        bomb = small
        for tag in pixels:
            assert tag in bomb
            bomb = bomb.replace(tag, tag[:8] + (100_000).to_bytes(4, "little"))
    tracemalloc.start()
    started = time.process_time()
    assert reason_of(bomb) == "too_large"
    assert time.process_time() - started < 1
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


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


@pytest.mark.parametrize("quality", [60, 92, 100])
def test_encode_writes_the_bytes_that_pillow_would(quality):
    smooth = np.tile(np.arange(0, 250, 2, dtype=np.uint8)[:, None], (80, 1, 3))
    assert encode(smooth, quality=quality) == saved(
        Image.fromarray(smooth), "JPEG", quality=quality, subsampling="4:4:4"
    )


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
    ],
)
def test_damaged_bytes_give_a_picture_or_a_reason_and_quickly(kind, options):
    generator = random.Random(0)
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = saved(Image.fromarray(noise), kind, exif=exif, icc_profile=profile, **options)
    reasons, slowest = set(), 0.0
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 20)):
            data[generator.randrange(len(data) if generator.random() < 0.5 else 300)] = generator.randrange(256)
        if generator.random() < 0.2:
            start = generator.randrange(len(data))
            del data[start : start + generator.randrange(1, 200)]
        cut = generator.randrange(len(data)) if generator.random() < 0.3 else None
        started = time.process_time()
        try:
            found = decode(bytes(data[:cut]), min_side_px=8)
            assert found.dtype == np.uint8
            assert found.ndim == 3
            assert found.shape[2] == 3
        except UnreadableImageError as error:
            reasons.add(error.reason)
        slowest = max(slowest, time.process_time() - started)
    assert reasons <= {"empty", "not_an_image", "truncated", "too_large", "unsupported_pixels", "unreadable"}
    assert len(reasons) >= 2
    assert slowest < 5


def test_the_error_survives_the_way_from_a_worker():
    error = pickle.loads(pickle.dumps(UnreadableImageError("truncated", "cut")))
    assert (error.reason, error.message, str(error)) == ("truncated", "cut", "truncated: cut")


def test_a_side_below_one_is_the_callers_mistake():
    with pytest.raises(ValueError, match="min_side_px"):
        decode(b"x", min_side_px=0)
