"""Rates of decoding on this machine: of the readable photographs, single-threaded, in the right order."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from raydr.data.decode_rates import mean_bytes, measure_decoding, sample_of
from raydr.errors import InputError
from raydr.images.jpeg import encode
from raydr.images.preprocess import Preprocess


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three photographs of a bright disc, 900 x 1200."""
    folder = tmp_path_factory.mktemp("photographs")
    noise = np.random.default_rng(0)
    for number in range(3):
        picture = np.zeros((900, 1200, 3), np.uint8)
        cv2.circle(picture, (600, 450), 430, (200, 90, 40), thickness=-1)
        picture[picture[..., 0] > 0] += noise.integers(0, 40, 3, dtype=np.uint8)
        (folder / f"{number}.jpeg").write_bytes(encode(picture))
    return [str(path) for path in sorted(folder.iterdir())]


def test_a_small_prepared_picture_decodes_faster_than_a_photograph(photographs: list[str]) -> None:
    rates = measure_decoding(photographs, preprocess=Preprocess(64), shard_px=96, jpeg_quality=90, seconds=0.1)
    assert rates.shard_per_s > 2 * rates.original_per_s
    # It is decoded and encoded besides.
    assert rates.prepare_per_s < 1.5 * rates.original_per_s
    assert rates.original_bytes == mean_bytes(photographs)
    assert 0 < rates.shard_bytes < rates.original_bytes / 4
    assert rates.num_photographs == 3


def test_unreadable_photographs_are_left_out(photographs: list[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpeg"
    bad.write_bytes(b"no picture")
    rates = measure_decoding(
        [str(bad), photographs[0], str(tmp_path / "none.jpeg")],
        preprocess=Preprocess(64),
        shard_px=96,
        jpeg_quality=90,
        seconds=0.01,
    )
    assert (rates.num_photographs, rates.original_bytes) == (1, mean_bytes(photographs[:1]))
    with pytest.raises(InputError, match=r"bad\.jpeg: not_an_image.*none of the 1 photographs"):
        measure_decoding([str(bad)], preprocess=Preprocess(64), shard_px=96, jpeg_quality=90, seconds=0.01)


def test_mean_size_is_that_of_the_files_that_are_there(tmp_path: Path) -> None:
    for name, size in (("a", 10), ("b", 30)):
        (tmp_path / name).write_bytes(bytes(size))
    assert mean_bytes([str(tmp_path / name) for name in "abc"]) == 20
    with pytest.raises(InputError, match="is no file, nor is any of the 1"):
        mean_bytes([str(tmp_path / "c")])


def test_a_sample_is_the_seeds_without_repeats() -> None:
    uris = [str(number) for number in range(100)]
    drawn = sample_of(uris, count=10, seed=1)
    assert drawn == sample_of(uris, count=10, seed=1) != sample_of(uris, count=10, seed=2)
    assert len(set(drawn)) == 10
    assert sorted(sample_of(uris[:5], count=10, seed=1)) == uris[:5]


def test_measuring_decoding_loads_neither_ray_nor_torch() -> None:
    program = "import sys, raydr.data.decode_rates; print({'ray', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
