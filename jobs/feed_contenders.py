"""The contenders of `bench_ingest.py`'s feed: seconds that each takes to bring epochs of pictures to the device."""

import time
from collections.abc import Iterator

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray.data
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from raydr import storage
from raydr.data.blocks import DecodeRoom
from raydr.data.epochs import EpochClock, start_clock
from raydr.data.streams import Shuffle, stream_shards
from raydr.images.jpeg import decode
from raydr.images.preprocess import Preprocess
from raydr.training.streams import StreamedBatches

SHARD_PX, SIDE_PX, BATCH_SIZE = 512, 224, 64
PREPROCESS = Preprocess(side_px=SIDE_PX, through_px=SHARD_PX)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def shuffled_shards(
    shards: str, count: int, preprocess: Preprocess, *, decode_cpus: float
) -> tuple[ray.data.Dataset, EpochClock]:
    """The shards' first pictures as training sees them, and the clock that says in which epoch's order."""
    numbers, clock = np.arange(count), start_clock()
    rows = pa.table({"row": numbers, "image_id": [str(number) for number in numbers], "grade": np.full(count, -1)})
    room = DecodeRoom(decode_cpus)
    return stream_shards(shards, rows, preprocess=preprocess, room=room, shuffle=Shuffle(0, clock)), clock


def feed(shards: str, num_processes: int, count: int, epochs: int) -> float:
    """Raydr's own: the batches that a Ray Train worker gets, in another order every epoch."""
    del num_processes  # the cluster has that many CPUs
    dataset, clock = shuffled_shards(shards, count, PREPROCESS, decode_cpus=1.0)
    (iterator,) = dataset.streaming_split(1, equal=True)
    source = StreamedBatches(iterator, clock, num_images=count, batch_size=BATCH_SIZE, rank=0, world_size=1)
    started = time.perf_counter()
    for epoch in range(epochs):
        _check(sum(len(batch.to(DEVICE).row) for batch in source.epoch(epoch)), count)
    return time.perf_counter() - started


class RowGroups(IterableDataset):
    """The same shards with the same decoding: a worker's row groups in random order, their pictures one by one."""

    def __init__(self, groups: list[tuple[str, int]]) -> None:
        self._groups = groups
        self._draw = np.random.default_rng(0)

    def __iter__(self) -> Iterator[torch.Tensor]:
        cv2.setNumThreads(1)
        worker = get_worker_info()
        groups = self._groups[worker.id :: worker.num_workers]
        for place in self._draw.permutation(len(groups)):
            part, group = groups[place]
            with pq.ParquetFile(part) as file:
                jpegs = file.read_row_group(group, columns=["jpeg"])["jpeg"].to_pylist()
            for jpeg in jpegs:
                picture = PREPROCESS.finish(decode(jpeg, min_side_px=SHARD_PX))
                yield torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def data_loader(shards: str, num_processes: int, count: int, epochs: int) -> float:
    """A torch DataLoader with as many workers, which stay from epoch to epoch."""
    groups = row_groups(shards, count)
    loader = DataLoader(
        RowGroups(groups),
        batch_size=BATCH_SIZE,
        num_workers=num_processes,
        persistent_workers=True,
        multiprocessing_context="spawn",  # the parent has Ray's threads, which do not survive a fork
    )
    started = time.perf_counter()
    for _ in range(epochs):
        _check(sum(len(batch.to(DEVICE)) for batch in loader), count)
    return time.perf_counter() - started


def row_groups(shards: str, count: int) -> list[tuple[str, int]]:
    """The row groups of the first ``count`` pictures, a multiple of their size."""
    found = []
    for part in [uri for uri, _, _ in storage.list_files(shards) if uri.endswith(".parquet")]:
        with pq.ParquetFile(part) as file:
            for group in range(file.num_row_groups):
                if count <= 0:
                    return found
                found.append((part, group))
                count -= file.metadata.row_group(group).num_rows
    return found


def _check(done: int, count: int) -> None:
    if not count - BATCH_SIZE < done <= count:
        raise RuntimeError(f"{done} of {count} images came out")
