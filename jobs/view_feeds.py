"""The contenders of `bench_train.py` that only feed: JPEGs of 512 px decoded and made into two views each, no network.

Images a second from the end of the warm-up batches to the epoch's last, and the seconds until the first batch.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from train_contenders import DECODE_CPUS, PictureFiles, device_of, file_batches, plain_views
from train_setting import SHARD_PX, WARM_UP_BATCHES, Pictures, Setting

from raydr.images.augment import augmentation
from raydr.images.preprocess import Preprocess

Figures = Mapping[str, float]


def feed(setting: Setting, pictures: Pictures) -> Figures:
    """Raydr's: tasks decode and shrink, this process makes the views of a batch on the device."""
    from feed_contenders import shuffled_shards

    from raydr.training.streams import StreamedBatches

    torch.set_num_threads(setting.threads)
    device, view = device_of(setting, 0), augmentation(setting.preset)
    started = time.perf_counter()
    preprocess = Preprocess(side_px=setting.side_px, through_px=SHARD_PX)
    dataset, clock = shuffled_shards(pictures.shards, setting.num_images, preprocess, decode_cpus=DECODE_CPUS)
    (iterator,) = dataset.streaming_split(1, equal=True)
    source = StreamedBatches(
        iterator, clock, num_images=setting.num_images, batch_size=setting.batch_size, rank=0, world_size=1
    )
    draw = torch.Generator().manual_seed(0)

    def batches() -> Iterable[Sequence[Tensor]]:
        for batch in source.epoch(0):
            image = batch.to(device).image
            yield view(image, draw), view(image, draw)

    return _timed(setting, batches(), started)


def plain_ddp_feed(setting: Setting, pictures: Pictures) -> Figures:
    """DataLoader and torchvision: loader processes decode, shrink and make the views one picture at a time."""
    return _in_a_process(setting, _plain_files, pictures.first(setting.num_images))


def lightly_feed(setting: Setting, pictures: Pictures) -> Figures:
    """DataLoader and lightly's transform."""
    return _in_a_process(setting, _lightly_files, pictures.first(setting.num_images))


Files = Callable[[Setting, Sequence[str]], PictureFiles]


def _plain_files(setting: Setting, files: Sequence[str]) -> PictureFiles:
    return PictureFiles(files, plain_views(setting))


def _lightly_files(setting: Setting, files: Sequence[str]) -> PictureFiles:
    from lightly_contender import lightly_files

    return lightly_files(setting, files)


def _in_a_process(setting: Setting, made: Files, files: Sequence[str]) -> Figures:
    with tempfile.TemporaryDirectory(prefix="raydr-bench-") as folder:
        torch.multiprocessing.spawn(_load, (setting, made, files, folder), nprocs=1)
        figures: Figures = json.loads((Path(folder) / "figures.json").read_text())
    return figures


def _load(_: int, setting: Setting, made: Files, files: Sequence[str], folder: str) -> None:
    started = time.perf_counter()
    loader, _sampler = file_batches(setting, made(setting, files), 0)
    device = device_of(setting, 0)
    batches = ([view.to(device, non_blocking=True) for view in views] for views in loader)
    (Path(folder) / "figures.json").write_text(json.dumps(_timed(setting, batches, started)))


def _timed(setting: Setting, batches: Iterable[Sequence[Tensor]], started: float) -> Figures:
    warm_up = min(WARM_UP_BATCHES, setting.steps // 2)
    done, first_at, warm_at = 0, started, started
    for first, second in batches:
        if first.shape != second.shape or first.dtype != torch.float32:
            raise RuntimeError(f"views {tuple(first.shape)} and {tuple(second.shape)} of {first.dtype} are no pair")
        done += 1
        first_at = time.perf_counter() if done == 1 else first_at
        warm_at = time.perf_counter() if done == warm_up else warm_at
    if setting.use_gpu:
        torch.cuda.synchronize()
    if done != setting.steps:
        raise RuntimeError(f"{done} batches came, {setting.steps} were due")
    timed = (setting.steps - warm_up) * setting.batch_size
    return {"images_per_s": timed / (time.perf_counter() - warm_at), "start_up_s": first_at - started}
