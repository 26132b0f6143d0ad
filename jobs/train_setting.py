"""What all contenders of `bench_train.py` have in common: the settings, and the pictures they learn from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pyarrow.parquet as pq

from raydr.config.learning import Preset

SHARD_PX = 512
WARM_UP_BATCHES = 4
"""Of a feed, which are not timed: pools and buffers fill."""


@dataclass(frozen=True)
class Setting:
    """One network, one kind of view, one batch, for every contender."""

    backbone: str
    side_px: int
    batch_size: int
    """Images a step over all workers; each is seen as two views."""
    steps: int
    """An epoch; the first epoch warms up, the second is timed."""
    workers: int
    threads: int
    """Of torch in every worker."""
    loaders: int
    """Processes that decode, of all workers together."""
    precision: Literal["fp32", "bf16"]
    use_gpu: bool
    preset: Preset = "weak_medium"
    temperature: float = 0.2
    hidden_dim: int = 512
    projection_dim: int = 128
    learning_rate: float = 3e-4
    weight_decay: float = 0.05

    @property
    def num_images(self) -> int:
        """An epoch's."""
        return self.batch_size * self.steps


@dataclass(frozen=True)
class Pictures:
    """The same JPEGs twice: in shards and as files."""

    shards: str
    files: list[str]
    """As many as the shards have rows; a path may stand more than once."""

    def first(self, count: int) -> list[str]:
        """The files of the shards' first rows."""
        return self.files[:count]


def write_pictures(scratch: Path, originals: Path | None, *, distinct: int, num_images: int) -> Pictures:
    """Shards of 512 px as `raydr prepare` makes them, and each of its JPEGs as a file of its own.

    Args:
        scratch: An empty folder.
        originals: Folder of photographs to make them from; None draws phantoms.
        distinct: How many different pictures.
        num_images: Rows of the shards: the pictures again and again.
    """
    from ingest_contenders import write_shards

    photographs, files = scratch / "photographs", scratch / "files"
    for folder in (photographs, files):
        folder.mkdir()
    sources = _write_sources(photographs, originals, distinct)
    out = scratch / "prepared"
    if (written := write_shards(sources, num_images, str(out))) != num_images:
        raise RuntimeError(f"{written} of {num_images} pictures were prepared")
    jpegs: dict[int, bytes] = {}
    for part in (out / "shards").rglob("*.parquet"):
        if {"image_id", "jpeg"} <= set(pq.read_schema(part).names):
            table = pq.read_table(part, columns=["image_id", "jpeg"])
            jpegs |= dict(zip(map(int, table["image_id"].to_pylist()), table["jpeg"].to_pylist(), strict=True))
    paths = [files / f"{number:05d}.jpeg" for number in range(min(distinct, num_images))]
    for number, path in enumerate(paths):
        path.write_bytes(jpegs[number])
    return Pictures(str(out / "shards"), [str(paths[number % len(paths)]) for number in range(num_images)])


def _write_sources(target: Path, originals: Path | None, count: int) -> list[str]:
    """Photographs somewhat larger than a shard's pictures, all different: mirrored and shifted copies of a few."""
    from bench_ingest import photographs

    from raydr.images.jpeg import encode

    pictures = []
    for picture in photographs(originals):
        scale = 1.5 * SHARD_PX / min(picture.shape[:2])
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        pictures.append(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    draw, paths = np.random.default_rng(0), []
    for number in range(count):
        picture = pictures[number % len(pictures)][:: 1 - 2 * int(draw.integers(2)), :: 1 - 2 * int(draw.integers(2))]
        moved = np.roll(picture, draw.integers(-8, 9, size=2), axis=(0, 1))
        path = target / f"{number:05d}.jpeg"
        path.write_bytes(encode(np.ascontiguousarray(moved)))
        paths.append(str(path))
    return paths
