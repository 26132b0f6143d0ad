"""Decoding at the limit: `raydr prepare` beside what a user would otherwise write, on JPEGs of 10 megapixels and more.

Every contender works with as many processes as there are CPUs, over the same files, in the same rounds:

  limit               the function that `prepare` runs on a photograph, in a bare pool of processes
  prepare             `raydr.data.ingest.prepare_shards` on a Ray cluster: decode, find and crop the disc, judge the
                      quality, encode, write shards
  read_images         Ray Data's `read_images(size=…)`, the pictures only counted
  torch_decode_jpeg   torch DataLoader, torchvision `decode_jpeg` and an antialiased resize
  torch_pil           torch DataLoader, Pillow's full decode and its resize

A contender runs on a few images and on many. What the many take longer gives images a second in steady state, and what
is left of the first run's time is its start-up.

  python jobs/bench_ingest.py --json bench_ingest.json
  ray job submit --working-dir . --runtime-env cluster/runtime_env.yaml -- python jobs/bench_ingest.py --originals FOLDER
"""

import os

os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # of a cluster that starts and ends with this script, on loopback

import functools
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import ray
import ray.data
import torch
from benchmark import Figure, arguments, interleaved, publish
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from raydr.config.site import ClusterSettings
from raydr.data.ingest import prepare_shards
from raydr.data.prepared import Recipe, prepare_one
from raydr.data.labels import IMAGE_SUFFIXES
from raydr.images.phantom import draw_phantom
from raydr.images.preprocess import Preprocess
from raydr.workflows.cluster import connected

SIDE_PX = 512
QUALITY = 92
LEAST_MEGAPIXELS = 10.0
PREPROCESS = Preprocess(side_px=SIDE_PX)
Spent = Callable[[int], float]
"""Seconds for so many images."""


def photographs(folder: Path | None) -> Iterator[NDArray[np.uint8]]:
    """Pictures of at least 10 megapixels: those of a folder, enlarged where they have less, or phantoms."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES) if folder else []
    pictures = [cv2.imread(str(path))[:, :, ::-1] for path in files] or [
        draw_phantom(patient_seed=seed, eye="left", grade=seed % 5, side_px=768) for seed in range(4)
    ]
    for picture in pictures:
        height, width = picture.shape[:2]
        scale = max(1.0, (LEAST_MEGAPIXELS * 1e6 / (height * width)) ** 0.5 + 1e-3)
        size = (round(width * scale), round(height * scale))
        yield picture if scale == 1.0 else cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)


def write_photographs(target: Path, folder: Path | None, count: int) -> list[str]:
    """Files of distinct bytes: turned, mirrored and shifted copies, encoded as cameras do (4:2:0, quality 90)."""
    pictures, draw, paths = list(photographs(folder)), np.random.default_rng(0), []
    for number in range(count):
        picture = np.rot90(pictures[number % len(pictures)], k=2 * int(draw.integers(2)))
        picture = picture[:, ::-1] if draw.integers(2) else picture
        picture = np.roll(picture, draw.integers(-40, 41, size=2), axis=(0, 1))
        path = target / f"{number:04d}.jpeg"
        Image.fromarray(picture).save(path, quality=90, subsampling="4:2:0")
        paths.append(str(path))
    return paths


def limit(paths: list[str], num_processes: int, count: int) -> float:
    """The same function in bare processes."""
    started = time.perf_counter()
    with ProcessPoolExecutor(num_processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        done = sum(pool.map(_is_prepared, _cycled(paths, count), chunksize=4))
    return _checked(done, count, started)


def _is_prepared(path: str) -> bool:
    return "jpeg" in prepare_one(path, Recipe(PREPROCESS, QUALITY))


def prepare(paths: list[str], num_processes: int, count: int) -> float:
    """Raydr's own: also writes the shards."""
    del num_processes  # the cluster has that many CPUs
    uris = _cycled(paths, count)
    rows = pa.table({"image_id": [str(number) for number in range(count)], "uri": uris})
    out = tempfile.mkdtemp(prefix="raydr-bench-")
    started = time.perf_counter()
    counts = prepare_shards(
        rows, out=out, preprocess=PREPROCESS, images_per_shard=2048, jpeg_quality=QUALITY, decode_cpus=1.0
    )
    seconds = _checked(counts.num_written, count, started)
    shutil.rmtree(out)
    return seconds


def read_images(paths: list[str], num_processes: int, count: int) -> float:
    """Ray Data's reader of pictures."""
    del num_processes
    started = time.perf_counter()
    dataset = ray.data.read_images(_cycled(paths, count), size=(SIDE_PX, SIDE_PX), mode="RGB")
    done = sum(len(batch["image"]) for batch in dataset.iter_batches(batch_size=32, batch_format="numpy"))
    return _checked(done, count, started)


class Files(Dataset):
    """Pictures by path, made small by a function."""

    def __init__(self, paths: list[str], load: Callable[[str], torch.Tensor]) -> None:
        self._paths, self._load = paths, load

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: int) -> torch.Tensor:
        return self._load(self._paths[place])


def load_decode_jpeg(path: str) -> torch.Tensor:
    """Torchvision's decoder, then its resize."""
    picture = decode_jpeg(read_file(path), mode=ImageReadMode.RGB)
    return v2.functional.resize(picture, [SIDE_PX, SIDE_PX], antialias=True)


def load_pil(path: str) -> torch.Tensor:
    """Pillow's full decode, then its resize."""
    with Image.open(path) as picture:
        return torch.from_numpy(np.array(picture.convert("RGB").resize((SIDE_PX, SIDE_PX)))).permute(2, 0, 1)


def data_loader(load: Callable[[str], torch.Tensor], paths: list[str], num_processes: int, count: int) -> float:
    """A DataLoader with as many workers."""
    started = time.perf_counter()
    loader = DataLoader(
        Files(_cycled(paths, count), load),
        batch_size=16,
        num_workers=num_processes,
        multiprocessing_context="spawn",  # this process has Ray's threads, which do not survive a fork
    )
    return _checked(sum(len(batch) for batch in loader), count, started)


def _cycled(paths: list[str], count: int) -> list[str]:
    return [paths[number % len(paths)] for number in range(count)]


def _checked(done: int, count: int, started: float) -> float:
    if done != count:
        raise RuntimeError(f"{done} of {count} images came out")
    return time.perf_counter() - started


def steady(spent: Spent, few: int, many: int) -> Mapping[str, float]:
    """Images a second once it runs, and the seconds until it does."""
    first, second = spent(few), spent(many)
    rate = (many - few) / max(second - first, 1e-9)
    return {"images_per_s": rate, "start_up_s": max(0.0, first - few / rate)}


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--originals", type=Path, help="folder of photographs to make the files from; else phantoms")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="processes of every contender")
    options = parser.parse_args()
    shared = Path("../shared/data/originals")
    folder = options.originals or (shared if shared.is_dir() else None)
    num_files, few, many = (8, 8, 24) if options.quick else (200, 100, 500)
    rounds = options.rounds or (1 if options.quick else 5)
    scratch = Path(tempfile.mkdtemp(prefix="raydr-bench-files-"))
    try:
        sys.stderr.write(f"writing {num_files} JPEGs of at least {LEAST_MEGAPIXELS:g} megapixels\n")
        paths = write_photographs(scratch, folder, num_files)
        with connected(ClusterSettings(local_cpus=options.processes, object_store_mib=1000)):
            contenders: dict[str, Callable[[list[str], int, int], float]] = {
                "limit": limit,
                "prepare": prepare,
                "read_images": read_images,
                "torch_decode_jpeg": functools.partial(data_loader, load_decode_jpeg),
                "torch_pil": functools.partial(data_loader, load_pil),
            }
            prepare(paths, options.processes, few)  # the cluster's processes start once, as on any cluster in use
            runs = interleaved(
                {
                    name: functools.partial(steady, functools.partial(run, paths, options.processes), few, many)
                    for name, run in contenders.items()
                },
                rounds=rounds,
            )
    finally:
        shutil.rmtree(scratch)
    figures = {name: Figure("images/s", found["images_per_s"]) for name, found in runs.items()}
    figures |= {f"{name} start-up": Figure("s", found["start_up_s"]) for name, found in runs.items()}
    publish(figures, [("prepare", name) for name in contenders if name != "prepare"], file=options.json)


if __name__ == "__main__":
    main()
