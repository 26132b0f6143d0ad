"""One way from a file's bytes to an input, whatever the file; only UnreadableImageError comes out of a bad one."""

import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from raydr.images import preprocess
from raydr.images.enhance import enhance
from raydr.images.jpeg import Picture, UnreadableImageError, decode_picture, encode
from raydr.images.preprocess import Preprocess
from raydr.images.resize import resize


def photograph(
    *, height: int = 600, width: int = 900, x: float = 400, y: float = 310, radius: float = 250
) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] + 0.5
    distance = np.hypot(columns - x, rows - y) / radius
    light = np.where(distance <= 1, 1 - 0.4 * distance**2, 0.0) * (1 + 0.1 * np.sin(columns / 9))
    return np.clip(light[:, :, None] * [170, 90, 40], 0, 255).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_disc_fills_the_input():
    found = Preprocess(side_px=100)(encode(photograph()))
    assert found.shape == (100, 100, 3)
    assert found.dtype == np.uint8
    assert found[50, 3].max() > 60
    assert found[50, 96].max() > 60
    assert found[3:97, 50].max(axis=1).min() > 60
    assert found[:10, :10].max() < 20


def test_without_cropping_the_whole_picture_is_padded():
    found = Preprocess(side_px=90, crop=False)(png(np.full((600, 900, 3), 200, dtype=np.uint8)))
    assert not found[:15].any()
    assert (found[15:75] == 200).all()
    assert not found[75:].any()


@pytest.mark.parametrize("kind", ["equalize", "clahe", "graham"])
def test_enhancement_is_applied_to_the_canvas(kind):
    data = encode(photograph())
    plain = Preprocess(side_px=100).canvas(data)
    np.testing.assert_array_equal(Preprocess(side_px=100, enhance=kind).canvas(data), enhance(plain, kind))


def test_another_process_makes_the_same_bytes(tmp_path):
    """Every stage runs elsewhere: what it sees must not depend on a process, its threads or its hash seed."""
    (tmp_path / "a.jpeg").write_bytes(encode(photograph()))
    code = (
        "import sys, hashlib, cv2; from pathlib import Path; from raydr.images.preprocess import Preprocess\n"
        "cv2.setNumThreads(int(sys.argv[2])); data = Path(sys.argv[1]).read_bytes()\n"
        "for kind in ('none', 'equalize', 'clahe', 'graham'):\n"
        "    print(hashlib.sha256(Preprocess(side_px=100, enhance=kind).canvas(data).tobytes()).hexdigest())\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "a.jpeg"), threads],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": threads},
        ).stdout
        for threads in ("1", "3")
    }
    here = [
        hashlib.sha256(Preprocess(side_px=100, enhance=kind).canvas(encode(photograph())).tobytes()).hexdigest()
        for kind in ("none", "equalize", "clahe", "graham")
    ]
    assert outputs == {"\n".join([*here, ""])}
    assert len(set(here)) == 4


def test_an_input_through_a_larger_canvas_is_the_canvas_resized():
    """A new photograph takes the way of the training pictures: shard size first, input size after."""
    data = encode(photograph())
    through = Preprocess(side_px=64, through_px=160, enhance="equalize")
    canvas = Preprocess(side_px=160, enhance="equalize").canvas(data)
    np.testing.assert_array_equal(through.canvas(data), canvas)
    np.testing.assert_array_equal(through(data), resize(canvas, width=64, height=64))
    assert through.canvas_px == 160


@pytest.mark.parametrize("kind", ["none", "equalize", "clahe", "graham"])
@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("radius", [250, 120])
def test_examining_gives_the_same_canvas(kind, crop, radius):
    data = encode(photograph(radius=radius))
    whole = Preprocess(side_px=96, crop=crop, enhance=kind)
    np.testing.assert_array_equal(whole.examine(data).canvas, whole.canvas(data))


@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("side_px", [64, 300])
def test_the_disc_is_told_in_pixels_of_the_original(crop, side_px):
    data = encode(photograph(height=1200, width=1800, x=800, y=620, radius=500))
    found = Preprocess(side_px=side_px, crop=crop).examine(data)
    assert (found.width_px, found.height_px) == (1800, 1200)
    np.testing.assert_allclose(
        (found.disc.center_x_px, found.disc.center_y_px, found.disc.radius_px), (800, 620, 500), atol=10
    )
    assert found.quality.disc_fraction == pytest.approx(np.pi * 500**2 / (1800 * 1200), rel=0.04)


def test_size_and_disc_of_a_picture_on_its_side_are_those_of_the_upright_one():
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(np.rot90(photograph(x=350, y=310), 1)).save(buffer, "JPEG", exif=exif)
    found = Preprocess(side_px=64).examine(buffer.getvalue())
    assert (found.width_px, found.height_px) == (900, 600)
    np.testing.assert_allclose((found.disc.center_x_px, found.disc.center_y_px), (350, 310), atol=6)


@pytest.mark.parametrize("crop", [True, False])
def test_quality_is_that_of_the_picture_before_enhancement(crop):
    data = encode(photograph())
    expected = Preprocess(side_px=96).examine(data).quality
    for kind in ("equalize", "clahe", "graham"):
        assert Preprocess(side_px=96, crop=crop, enhance=kind).examine(data).quality == expected


def test_finish_is_the_identity_at_its_own_size():
    canvas = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    assert Preprocess(side_px=32).finish(canvas) is canvas
    assert Preprocess(side_px=48).finish(canvas).shape == (48, 48, 3)


def test_a_square_picture_that_the_disc_fills_is_only_resized():
    image = photograph(height=200, width=200, x=100, y=100, radius=99.5)
    np.testing.assert_array_equal(Preprocess(side_px=200)(png(image)), image)


def test_a_jpeg_is_decoded_no_larger_than_the_disc_needs(monkeypatch):
    sides = watched(monkeypatch)
    Preprocess(side_px=100)(encode(photograph(height=1200, width=1800, x=900, y=600, radius=560)))
    assert sides == [150]


def test_a_small_disc_is_decoded_again_with_enough_pixels(monkeypatch):
    sides = watched(monkeypatch)
    data = encode(photograph(height=1200, width=1800, x=900, y=600, radius=330))
    found = Preprocess(side_px=100)(data)
    assert sides == [150, 300]
    assert found[50, 4].max() > 60


def watched(monkeypatch) -> list[int]:
    """The shorter side of every picture that Preprocess decodes from now on."""
    sides: list[int] = []

    def decode_and_note(data: bytes, **options: float) -> Picture:
        picture = decode_picture(data, **options)
        sides.append(min(picture.pixels.shape[:2]))
        return picture

    monkeypatch.setattr(preprocess, "decode_picture", decode_and_note)
    return sides


def test_the_scale_of_decoding_does_not_move_the_picture():
    image = photograph(height=1200, width=1800, x=900, y=600, radius=560)
    reduced, full = Preprocess(side_px=100)(encode(image)), Preprocess(side_px=100)(png(image))
    assert np.abs(reduced.astype(int) - full).mean() < 3


@pytest.mark.parametrize("kind", ["none", "equalize", "clahe", "graham"])
@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 3), (5, 2)])
def test_odd_shapes_are_no_error(kind, crop, size):
    data = png(np.full((*size, 3), (160, 80, 40), dtype=np.uint8))
    assert Preprocess(side_px=24, crop=crop, enhance=kind)(data).shape == (24, 24, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"not a picture", "not_an_image"), (encode(photograph())[:5000], "truncated")],
)
def test_a_bad_file_is_an_unreadable_image(data, reason):
    with pytest.raises(UnreadableImageError) as caught:
        Preprocess(side_px=24)(data)
    assert caught.value.reason == reason


def test_the_limit_on_pixels_is_passed_on():
    with pytest.raises(UnreadableImageError, match="megapixels"):
        Preprocess(side_px=24, max_megapixels=0.5)(encode(photograph()))


def test_it_comes_back_from_json_equal():
    whole = Preprocess(side_px=64, crop=False, enhance="graham", max_megapixels=30.0, through_px=96)
    assert Preprocess(**json.loads(json.dumps(dataclasses.asdict(whole)))) == whole


def test_a_side_below_one_is_refused():
    with pytest.raises(ValueError, match="side_px"):
        Preprocess(side_px=0)
    with pytest.raises(ValueError, match="through_px"):
        Preprocess(side_px=10, through_px=0)


def test_it_needs_no_torch():
    code = "import sys, raydr.images.preprocess; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
