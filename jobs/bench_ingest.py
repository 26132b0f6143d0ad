"""Decoding at the limit: `raydr prepare` beside what a user would otherwise write, on JPEGs of 10 megapixels and more.

Every contender works with as many processes as there are CPUs, over the same files, in the same rounds:

  limit               the function that `prepare` runs on a photograph, in a bare pool of processes
  prepare             `raydr prepare` on a Ray cluster: decode, find and crop the disc, judge the quality, encode, write
  read_images         Ray Data's `read_images(size=…)`, the pictures only counted
  torch_decode_jpeg   torch DataLoader, torchvision `decode_jpeg` and an antialiased resize
  torch_pil           torch DataLoader, Pillow's full decode and its resize

and, from the shards that `prepare` wrote to batches of 64 pictures of 224 px on the device:

  feed                the batches of a Ray Train worker, shuffled over the whole set
  dataloader          torch DataLoader over the same shards with the same decoding, row groups shuffled

A contender runs on a few images and on many; the last two on one epoch and on three. What the many take longer gives
images a second in steady state, and what is left of the first run's time is its start-up.

  python jobs/bench_ingest.py --json bench_ingest.json
  ray job submit --working-dir . --runtime-env cluster/runtime_env.yaml -- python jobs/bench_ingest.py
"""

# Processes that are spawned read this file again: what is heavy is imported where it is used.
import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from benchmark import Figure, arguments, interleaved, publish
from numpy.typing import NDArray
from PIL import Image

LEAST_MEGAPIXELS = 10.0
_EPOCHS = 3
PAIRS = [
    ("prepare", "limit"),
    ("prepare", "read_images"),
    ("prepare", "torch_decode_jpeg"),
    ("prepare", "torch_pil"),
    ("feed", "dataloader"),
]
Spent = Callable[[int], float]
"""Seconds for so many images."""


def photographs(folder: Path | None) -> Iterator[NDArray[np.uint8]]:
    """Pictures of at least 10 megapixels: those of a folder, enlarged where they have less, or phantoms."""
    from raydr.data.labels import IMAGE_SUFFIXES
    from raydr.images.phantom import draw_phantom

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


def steady(spent: Spent, few: int, many: int) -> Mapping[str, float]:
    """Images a second once it runs, and the seconds until it does."""
    first, second = spent(few), spent(many)
    rate = (many - few) / max(second - first, 1e-9)
    return {"images_per_s": rate, "start_up_s": max(0.0, first - few / rate)}


def _epochs(feed: Callable[[str, int, int, int], float], shards: str, processes: int, fed: int, count: int) -> float:
    """Seconds for ``count`` pictures in epochs of ``fed``, as a training asks for them."""
    return feed(shards, processes, fed, count // fed)


def measured(paths: list[str], scratch: Path, *, processes: int, rounds: int, many: int) -> dict[str, Figure]:
    """Every contender's images a second and start-up."""
    import feed_contenders as feeds
    import ingest_contenders as ingests

    few, fed = many // 4, 64 * (2 * many // 5)
    shards = str(scratch / "prepared")
    ingests.write_shards(paths, fed, shards)  # the cluster's processes start once, as on any cluster in use
    runs: dict[str, tuple[Callable[[int], float], int, int]] = {
        name: (functools.partial(run, paths, processes), few, many)
        for name, run in {
            "limit": ingests.limit,
            "prepare": ingests.prepare,
            "read_images": ingests.read_images,
            "torch_decode_jpeg": functools.partial(ingests.data_loader, ingests.load_decode_jpeg),
            "torch_pil": functools.partial(ingests.data_loader, ingests.load_pil),
        }.items()
    }
    for name, feed in {"feed": feeds.feed, "dataloader": feeds.data_loader}.items():
        runs[name] = (functools.partial(_epochs, feed, f"{shards}/shards", processes, fed), fed, _EPOCHS * fed)
    found = interleaved({name: functools.partial(steady, *run) for name, run in runs.items()}, rounds=rounds)
    rates = {name: Figure("images/s", one["images_per_s"]) for name, one in found.items()}
    return rates | {f"{name} start-up": Figure("s", one["start_up_s"]) for name, one in found.items()}


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--originals", type=Path, help="folder of photographs to make the files from; else phantoms")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="processes of every contender")
    parser.add_argument(
        "--many", type=int, help="images of the longer of two runs (400); an epoch of the feed has 25 times as many"
    )
    options = parser.parse_args()
    from raydr.workflows.environment import set_environment

    set_environment(None)
    from raydr.config.site import ClusterSettings
    from raydr.workflows.cluster import connected

    shared = Path("../shared/data/originals")
    folder = options.originals or (shared if shared.is_dir() else None)
    scratch = Path(tempfile.mkdtemp(prefix="raydr-bench-"))
    try:
        num_files = 8 if options.quick else 200
        sys.stderr.write(f"writing {num_files} JPEGs of at least {LEAST_MEGAPIXELS:g} megapixels\n")
        paths = write_photographs(scratch, folder, num_files)
        with connected(ClusterSettings(local_cpus=options.processes, object_store_mib=1000)):
            figures = measured(
                paths,
                scratch,
                processes=options.processes,
                rounds=options.rounds or (1 if options.quick else 5),
                many=options.many or (40 if options.quick else 400),
            )
    finally:
        shutil.rmtree(scratch)
    publish(figures, PAIRS, file=options.json)


if __name__ == "__main__":
    main()
