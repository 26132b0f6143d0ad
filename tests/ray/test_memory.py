"""A stream takes no more memory for ten times the images."""

import time

import numpy as np
import psutil
import pyarrow as pa
import pytest
from watching import Watch, store_in_use

from raydr.data.blocks import DecodeRoom
from raydr.data.epochs import start_clock
from raydr.data.streams import Shuffle, stream_originals
from raydr.images.preprocess import Preprocess
from raydr.training.streams import StreamedBatches

pytestmark = pytest.mark.ray

SIDE_PX, BATCH_SIZE = 96, 64
_PACE_S = 1.5e-3  # an image, slower than two CPUs decode: the stream runs ahead of its reader as far as it may


class MemoryWatch(Watch):
    """The most memory that this process and all of Ray's had at once, and the most object store, in bytes."""

    def __init__(self):
        super().__init__()
        self.private = self.store = 0

    def look(self):
        me, total = psutil.Process(), 0
        for process in [me, *me.children(recursive=True)]:
            try:
                memory = process.memory_info()
            except psutil.NoSuchProcess:
                continue
            total += memory.rss - memory.shared  # shared pages are the object store's, seen from each process
        self.private = max(self.private, total)
        self.store = max(self.store, store_in_use())


def read_all(uris, num_images):
    clock = start_clock()
    rows = pa.table(
        {
            "row": np.arange(num_images),
            "uri": [uris[number % len(uris)] for number in range(num_images)],
            "grade": np.full(num_images, -1),
        }
    )
    dataset = stream_originals(
        rows, preprocess=Preprocess(side_px=SIDE_PX, crop=False), room=DecodeRoom(1.0), shuffle=Shuffle(0, clock)
    )
    (iterator,) = dataset.streaming_split(1, equal=True)
    source = StreamedBatches(iterator, clock, num_images, BATCH_SIZE, rank=0, world_size=1)
    with MemoryWatch() as watch:
        count = 0
        for batch in source.epoch(0):
            count += len(batch.row)
            time.sleep(_PACE_S * len(batch.row))
    assert count == num_images // BATCH_SIZE * BATCH_SIZE
    return watch


def test_twenty_thousand_images_take_the_memory_of_two_thousand(ray_cluster, tmp_path, write_photographs):
    uris = write_photographs(tmp_path, 50)
    few = read_all(uris, 2_000)
    many = read_all(uris, 20_000)
    assert few.store > BATCH_SIZE * 3 * SIDE_PX**2  # the watch sees something
    assert many.private + many.store <= 1.15 * (few.private + few.store)
    # The store by itself: what is ahead of the reader is bounded well below the 2,000 images' own size of 53 MiB.
    assert many.store <= max(1.15 * few.store, 24 * 2**20)
