"""The contenders of `bench_ingest.py`: seconds that each takes for so many of the files."""

import functools
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pyarrow as pa
import ray.data
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from raydr.data.ingest import prepare_shards
from raydr.data.prepared import Recipe, prepare_one
from raydr.images.preprocess import Preprocess

SIDE_PX = 512
RECIPE = Recipe(Preprocess(side_px=SIDE_PX), jpeg_quality=92)


def limit(paths: list[str], num_processes: int, count: int) -> float:
    """The same function in bare processes."""
    started = time.perf_counter()
    with ProcessPoolExecutor(num_processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        rows = pool.map(functools.partial(prepare_one, recipe=RECIPE), _cycled(paths, count), chunksize=4)
        done = sum("jpeg" in row for row in rows)
    return _checked(done, count, started)


def prepare(paths: list[str], num_processes: int, count: int) -> float:
    """Raydr's own: also writes the shards."""
    del num_processes  # the cluster has that many CPUs
    out = tempfile.mkdtemp(prefix="raydr-bench-")
    started = time.perf_counter()
    seconds = _checked(write_shards(paths, count, out), count, started)
    shutil.rmtree(out)
    return seconds


def write_shards(paths: list[str], count: int, out: str) -> int:
    """Pictures that `prepare` wrote below ``out``; their ids are the numbers up to ``count``."""
    rows = pa.table({"image_id": [str(number) for number in range(count)], "uri": _cycled(paths, count)})
    counts = prepare_shards(
        rows,
        out=out,
        recipe=RECIPE,
        images_per_shard=2048,
        decode_cpus=1.0,
    )
    return counts.num_written


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
        multiprocessing_context="spawn",  # the parent has Ray's threads, which do not survive a fork
    )
    return _checked(sum(len(batch) for batch in loader), count, started)


def _cycled(paths: list[str], count: int) -> list[str]:
    return [paths[number % len(paths)] for number in range(count)]


def _checked(done: int, count: int, started: float) -> float:
    if done != count:
        raise RuntimeError(f"{done} of {count} images came out")
    return time.perf_counter() - started
