"""An embedded profile's colours come out as sRGB; sRGB itself, a broken profile and an unfitting one change nothing."""

import io
import struct
import time

import numpy as np
import pytest
from PIL import Image, ImageCms

from raydr.images.icc import srgb_transform
from raydr.images.jpeg import decode

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_primaries(**primaries: tuple[float, float, float]) -> bytes:
    """The sRGB profile with other primaries: CIE XYZ under D50, as signed 15.16 fixed point."""
    profile = bytearray(SRGB)
    count = struct.unpack(">I", profile[128:132])[0]
    for at in range(132, 132 + 12 * count, 12):
        name, start, _ = struct.unpack(">4sII", profile[at : at + 12])
        if name.decode() in primaries:
            values = (round(65536 * value) for value in primaries[name.decode()])
            profile[start + 8 : start + 20] = struct.pack(">3i", *values)
    return bytes(profile)


# Adobe RGB (1998), annex: the same red and blue as sRGB but for their brightness, a far greener green.
ADOBE_RGB = with_primaries(
    rXYZ=(0.60974, 0.31111, 0.01947), gXYZ=(0.20528, 0.62567, 0.06087), bXYZ=(0.14919, 0.06322, 0.74457)
)


def picture(kind: str, profile: bytes | None, *, mode: str = "RGB") -> bytes:
    image = Image.new("RGB", (16, 16), (200, 90, 40)).convert(mode)
    buffer = io.BytesIO()
    options = {"quality": 95} if kind == "JPEG" else {}
    image.save(buffer, kind, icc_profile=profile, **options)
    return buffer.getvalue()


def expected_in_srgb(colour: tuple[int, int, int]) -> np.ndarray:
    """By the definition: linear light, Adobe's primaries, sRGB's inverse, gamma (sRGB's curve in both)."""
    adobe = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
    srgb = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
    value = np.array(colour) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.linalg.solve(srgb, adobe @ linear), 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_wide_gamut_becomes_srgb(kind):
    plain = decode(picture(kind, None), min_side_px=8)
    found = decode(picture(kind, ADOBE_RGB), min_side_px=8)
    assert np.abs(found.astype(int) - plain).max() > 10
    np.testing.assert_allclose(found[4, 4], expected_in_srgb(tuple(plain[4, 4])), atol=2)


def test_black_stays_black():
    assert decode(picture_of_black(), min_side_px=8).max() == 0


def picture_of_black() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "PNG", icc_profile=ADOBE_RGB)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize(
    "profile", [SRGB, b"broken", ADOBE_RGB[:300], bytes(5000), ADOBE_RGB[:128] + b"\xff" * 400], ids=range(5)
)
def test_srgb_and_broken_profiles_change_nothing(kind, profile):
    plain = decode(picture(kind, None), min_side_px=8)
    np.testing.assert_array_equal(decode(picture(kind, profile), min_side_px=8), plain)


def test_a_profile_of_another_kind_of_picture_is_ignored():
    plain = decode(picture("JPEG", None, mode="L"), min_side_px=8)
    np.testing.assert_array_equal(decode(picture("JPEG", ADOBE_RGB, mode="L"), min_side_px=8), plain)
    assert srgb_transform(ADOBE_RGB, "CMYK") is None
    assert srgb_transform(ADOBE_RGB, "I;16") is None


def test_a_known_profile_costs_microseconds():
    srgb_transform(SRGB, "RGB")
    started = time.process_time()
    for _ in range(1000):
        srgb_transform(bytes(bytearray(SRGB)), "RGB")  # every file brings its own copy
    assert (time.process_time() - started) / 1000 < 0.2e-3
