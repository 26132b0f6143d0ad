"""The images that a learning stage reads, as datasets: which rows, from where, with what grade."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from numpy.typing import NDArray

from raydr.config.images import DataSettings
from raydr.config.site import ClusterSettings
from raydr.data.blocks import DecodeRoom
from raydr.data.budget import read_budget
from raydr.data.epochs import EpochClock, start_clock
from raydr.data.manifest import grades_of, patients_of, read_manifest, rows_of_images, rows_where
from raydr.data.nodes import alive_nodes
from raydr.data.shards import quarantined, shard_side
from raydr.data.streams import Shuffle, collect_pool, fits_memory, stream_originals, stream_shards
from raydr.engine.batch import UNLABELLED, Pool, empty_pool
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess


@dataclass(frozen=True, slots=True)
class Rows:
    """Row numbers of a manifest by their part in learning; a grade outside the budget never leaves the driver."""

    manifest: pa.Table
    train: NDArray[np.int64]
    labelled: NDArray[np.int64]
    """Training rows whose grade may be used."""
    validation: NDArray[np.int64]
    """Graded rows of the validation patients."""


def rows_of(data: DataSettings) -> Rows:
    """The rows of a manifest that a learning stage uses.

    Raises:
        InputError: No training images, or a budget that is not as drawn or has other than labelled training images.
    """
    manifest = read_manifest(data.manifest)
    grades, train = grades_of(manifest), rows_where(manifest, split="train")
    if not len(train):
        raise InputError(f"{data.manifest}: split: no image is in the train split")
    labelled = np.empty(0, dtype=np.int64)
    if data.budget is not None:
        labelled = np.sort(rows_of_images(manifest, read_budget(data.budget)))
        strangers = np.setdiff1d(labelled, train[grades[train] >= 0])
        if len(strangers):
            name = manifest["image_id"][int(strangers[0])].as_py()
            raise InputError(f"{data.budget}: image_id: {name!r} is no labelled training image of {data.manifest}")
    validation = rows_where(manifest, split="val")
    return Rows(manifest, train, labelled, validation[grades[validation] >= 0])


def validation_patients(rows: Rows) -> dict[int, int]:
    """A number for the patient of each validation row."""
    number = np.unique(patients_of(rows.manifest)[rows.validation], return_inverse=True)[1]
    return dict(zip(rows.validation.tolist(), number.tolist(), strict=True))


def through_px(data: DataSettings) -> int | None:
    """The side of the shards, None where the original photographs are streamed."""
    return None if data.shards is None else shard_side(data.shards)


def dataset(
    data: DataSettings,
    manifest: pa.Table,
    rows: NDArray[np.int64],
    *,
    preprocess: Preprocess,
    cluster: ClusterSettings,
    graded: bool,
    shuffle: Shuffle | None = None,
) -> ray.data.Dataset:
    """Decoded images of some rows, lazily; ``graded`` says whether their grades go with them."""
    room = DecodeRoom(cluster.decode_cpus, cluster.decode_label, cluster.autoscaling)
    grades = grades_of(manifest)[rows] if graded else np.full(len(rows), UNLABELLED)
    columns: Mapping[str, pa.Array] = {"row": pa.array(rows), "grade": pa.array(grades, pa.int64())}
    chosen = manifest.take(rows)
    if data.shards is None:
        table = pa.table({**columns, "uri": chosen["uri"]})
        return stream_originals(table, preprocess=preprocess, room=room, shuffle=shuffle)
    table = pa.table({**columns, "image_id": chosen["image_id"]})
    return stream_shards(data.shards, table, preprocess=preprocess, room=room, shuffle=shuffle)


@dataclass(frozen=True, slots=True)
class Stream:
    """The training images as a dataset, and how many it has."""

    dataset: ray.data.Dataset
    num_images: int
    clock: EpochClock | None
    """Says in which epoch's order the images come; None where they are held in memory."""


def training_stream(
    data: DataSettings, rows: Rows, *, preprocess: Preprocess, cluster: ClusterSettings, seed: int
) -> Stream:
    """All training images without grades, in another order every epoch, which depends on ``seed`` and its number.

    Decoded once where all of them fit a good part of the object store of every node that can take a trainer; each
    epoch is then one permutation of them, shared out among the workers. Else decoded anew every epoch: photographs by
    a permutation of all, shards as `stream_shards` mixes them.
    """
    stores = [
        node.store_bytes
        for node in alive_nodes()
        if node.cpus >= cluster.cpus_per_worker and node.gpus >= cluster.gpus_per_worker
    ]
    is_small = fits_memory(len(rows.train), side_px=preprocess.side_px, store_bytes=min(stores, default=0.0))
    clock = None if is_small else start_clock()
    images = dataset(
        data,
        rows.manifest,
        rows.train,
        preprocess=preprocess,
        cluster=cluster,
        graded=False,
        shuffle=None if clock is None else Shuffle(seed, clock),
    )
    if clock is not None:
        return Stream(images, len(rows.train) - _num_quarantined(data, rows), clock)
    held = images.materialize()
    return Stream(held, held.count(), None)


def _num_quarantined(data: DataSettings, rows: Rows) -> int:
    """Training images that `prepare` could not use; of originals nothing is known before they are read."""
    if data.shards is None:
        return 0
    bad = pa.array(list(quarantined(data.shards)), pa.string())
    return int(pc.sum(pc.is_in(rows.manifest["image_id"].take(rows.train), value_set=bad)).as_py() or 0)


def small_pool(
    data: DataSettings,
    manifest: pa.Table,
    rows: NDArray[np.int64],
    *,
    preprocess: Preprocess,
    cluster: ClusterSettings,
    graded: bool = True,
) -> Pool:
    """A few rows' images in the driver's memory."""
    if not len(rows):
        return empty_pool(preprocess.side_px)
    found = dataset(data, manifest, rows, preprocess=preprocess, cluster=cluster, graded=graded)
    return collect_pool(found, side_px=preprocess.side_px, rows=rows)
