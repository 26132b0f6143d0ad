"""The contenders of `bench_train.py` that train: images a second in their second epoch, and the start-up's seconds.

Every one has the same network, batch, optimiser, precision and number of steps. An epoch's seconds are those from
asking for its first batch to the end of its last step, so each contender pays for filling its own pipeline.
"""

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from augment_contenders import torchvision_steps
from PIL import Image
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from torchvision.transforms import v2
from train_setting import SHARD_PX, Pictures, Setting

from raydr.engine.collectives import differentiable_gather
from raydr.images.augment import augmentation
from raydr.images.preprocess import Preprocess
from raydr.losses.contrastive import nt_xent
from raydr.models.backbone import create_backbone
from raydr.models.embedding import EmbeddingNetwork
from raydr.models.projector import Projector

DECODE_CPUS = 0.99
TwoViews = tuple[Tensor, Tensor]
Epochs = Sequence[float]
"""Seconds of each."""


def raydr(setting: Setting, pictures: Pictures) -> Mapping[str, float]:
    """`raydr pretrain` as it is: shards through Ray Data into Ray Train's workers, states saved after every epoch."""
    from feed_contenders import shuffled_shards

    from raydr.config.site import ClusterSettings
    from raydr.config.stages import PretrainStage
    from raydr.learning.assignment import Assignment
    from raydr.training.trainer import train
    from raydr.training.worker import STREAM, Work

    stage = PretrainStage.model_validate(
        {
            "model": {"backbone": setting.backbone},
            "method": {
                "temperature": setting.temperature,
                "hidden_dim": setting.hidden_dim,
                "projection_dim": setting.projection_dim,
            },
            "optim": {
                "epochs": 2,
                "batch_size": setting.batch_size,
                "learning_rate": setting.learning_rate,
                "weight_decay": setting.weight_decay,
                "gradient_clip": None,
                "precision": setting.precision,
            },
            "augment": setting.preset,
        }
    )
    # As many tasks decode as other contenders have loaders, trainers beside them: the system shares out the CPUs.
    cluster = ClusterSettings(
        num_workers=setting.workers,
        cpus_per_worker=1 - DECODE_CPUS,
        decode_cpus=DECODE_CPUS,
        gpus_per_worker=float(setting.use_gpu),
        threads_per_worker=setting.threads,
        max_failures=0,
    )
    preprocess = Preprocess(side_px=setting.side_px, through_px=SHARD_PX)
    started = time.perf_counter()
    dataset, clock = shuffled_shards(pictures.shards, setting.num_images, preprocess, decode_cpus=DECODE_CPUS)
    orders = Work(
        loop="pretrain",
        settings=stage.model_dump(mode="json"),
        assignment=Assignment(preprocess=preprocess, model_folder=None, seed=0, settings_digest="bench"),
        num_streamed=setting.num_images,
        clock=clock.name,
        threads=setting.threads,
    )
    with tempfile.TemporaryDirectory(prefix="raydr-bench-") as folder:
        result = train(orders, {STREAM: dataset}, cluster, folder=folder, name="bench", on_epoch=lambda _: None)
    seconds = [row["seconds"] for row in result.history]
    return _figures(setting, seconds, started) | {"data_wait": 100 * result.history[-1]["data_wait"]}


def limit(setting: Setting, _: Pictures) -> Mapping[str, float]:
    """Forward, loss, backward and optimiser on views that lie on the device: nothing is read, decoded or augmented."""
    return _on_workers(setting, _limit_worker, [])


def plain_ddp(setting: Setting, pictures: Pictures) -> Mapping[str, float]:
    """DDP, a DataLoader and torchvision: what one writes without a framework."""
    return _on_workers(setting, _plain_worker, pictures.first(setting.num_images))


Worker = Callable[[Setting, Sequence[str], int], Epochs]


def _on_workers(setting: Setting, worker: Worker, files: Sequence[str]) -> Mapping[str, float]:
    """Run a function in fresh processes, one a worker, that are connected."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="raydr-bench-") as folder:
        torch.multiprocessing.spawn(_connected, (setting, worker, files, folder), nprocs=setting.workers)
        seconds = json.loads((Path(folder) / "seconds.json").read_text())
    return _figures(setting, seconds, started)


def _connected(rank: int, setting: Setting, worker: Worker, files: Sequence[str], folder: str) -> None:
    torch.set_num_threads(setting.threads)
    store = dist.FileStore(f"{folder}/store", setting.workers)
    backend = "nccl" if setting.use_gpu else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=setting.workers)
    try:
        seconds = worker(setting, files, rank)
    finally:
        dist.destroy_process_group()
    if rank == 0:
        (Path(folder) / "seconds.json").write_text(json.dumps(seconds))


def _figures(setting: Setting, seconds: Epochs, started: float) -> Mapping[str, float]:
    elapsed = time.perf_counter() - started
    return {"images_per_s": setting.num_images / seconds[-1], "start_up_s": elapsed - sum(seconds)}


def _limit_worker(setting: Setting, _: Sequence[str], rank: int) -> Epochs:
    draw = torch.Generator().manual_seed(rank)
    shape = (setting.batch_size // setting.workers, 3, setting.side_px, setting.side_px)
    first, second = (torch.rand(shape, generator=draw).to(device_of(setting, rank)) for _ in range(2))
    batches = [(first, second)] * setting.steps
    return _train(setting, rank, lambda _: batches)


def _plain_worker(setting: Setting, files: Sequence[str], rank: int) -> Epochs:
    loader, sampler = file_batches(setting, PictureFiles(files, plain_views(setting)), rank)

    def epoch(number: int) -> Iterator[TwoViews]:
        sampler.set_epoch(number)
        return iter(loader)

    return _train(setting, rank, epoch)


def _train(setting: Setting, rank: int, epoch: Callable[[int], Iterable[TwoViews]]) -> Epochs:
    device = device_of(setting, rank)
    torch.manual_seed(0)
    network = embedding_network(setting).to(device)
    project: nn.Module = network
    if setting.workers > 1:
        project = DistributedDataParallel(network, [device] if setting.use_gpu else None)
    optimizer = torch.optim.AdamW(network.parameters(), lr=setting.learning_rate, weight_decay=setting.weight_decay)
    gather, seconds = differentiable_gather(setting.workers), []
    for number in range(2):
        started, steps = time.perf_counter(), 0
        for first, second in epoch(number):
            views = torch.cat([first.to(device, non_blocking=True), second.to(device, non_blocking=True)])
            optimizer.zero_grad(set_to_none=True)
            with autocast(setting, device):
                z = project(views)
                own = torch.arange(len(z), device=device)
                offset = rank * len(z)
                twin = own.roll(len(first)) + offset
                loss = nt_xent(z, gather(z), own=own + offset, twin=twin, temperature=setting.temperature)
            loss.backward()
            optimizer.step()
            steps += 1
        if not loss.isfinite():  # also waits for the device
            raise FloatingPointError(f"the loss is {loss.item()}")
        if steps != setting.steps:
            raise RuntimeError(f"{steps} steps were made, {setting.steps} were due")
        seconds.append(time.perf_counter() - started)
    return seconds


def device_of(setting: Setting, rank: int) -> torch.device:
    """Where a worker computes."""
    return torch.device("cuda", rank) if setting.use_gpu else torch.device("cpu")


def autocast(setting: Setting, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """The setting's precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=setting.precision == "bf16")


def embedding_network(setting: Setting) -> EmbeddingNetwork:
    """The network that every contender trains."""
    backbone = create_backbone(setting.backbone)
    projector = Projector(backbone.num_features, setting.hidden_dim, setting.projection_dim)
    return EmbeddingNetwork(backbone, projector)


class PictureFiles(Dataset):
    """Picture files, two views of each."""

    def __init__(self, files: Sequence[str], views: Callable[[Image.Image], Sequence[Tensor]]) -> None:
        self._files, self._views = files, views

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, place: int) -> Sequence[Tensor]:
        with Image.open(self._files[place]) as picture:
            return self._views(picture.convert("RGB"))


def plain_views(setting: Setting) -> Callable[[Image.Image], Sequence[Tensor]]:
    """Two views by torchvision of a picture of Pillow's, which is faster there than tensors are."""
    shrink = v2.Resize(setting.side_px)
    view = v2.Compose(torchvision_steps(augmentation(setting.preset), setting.side_px))

    def views(picture: Image.Image) -> TwoViews:
        small = shrink(picture)
        return view(small), view(small)

    return views


def file_batches(setting: Setting, files: Dataset, rank: int) -> tuple[DataLoader, DistributedSampler]:
    """A worker's part of the files in shuffled batches, from loader processes that live as long as the DataLoader."""
    sampler = DistributedSampler(files, setting.workers, rank, shuffle=True, drop_last=True)
    loader = DataLoader(
        files,
        batch_size=setting.batch_size // setting.workers,
        sampler=sampler,
        drop_last=True,
        num_workers=max(1, setting.loaders // setting.workers),
        persistent_workers=True,
        multiprocessing_context="fork",  # as in a script of one's own; this process was spawned and would spawn
        pin_memory=setting.use_gpu,
    )
    return loader, sampler
