"""Decoded images for trainers: columns ``image`` uint8 [3, S, S], ``row`` int64, ``grade`` int64."""

import functools

import numpy as np
import pyarrow as pa
import ray.data

from raydr.data.blocks import chunk_sizes, cluster_total, map_chunks
from raydr.data.decoding import decode_groups, decode_readable
from raydr.data.ingest import QUARANTINE
from raydr.data.shards import check_shards, find_images, quarantined
from raydr.engine.batch import Pool
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess


def stream_originals(
    rows: pa.Table, *, preprocess: Preprocess, decode_cpus: float, num_blocks: int | None = None
) -> ray.data.Dataset:
    """The photographs of ``rows`` (``row``, ``uri``, ``grade``), in that order, decoded anew in every epoch.

    An unreadable photograph is left out and costs no other; as many are lost as the dataset is short of ``rows``.
    """
    decode = functools.partial(decode_readable, preprocess=preprocess)
    sizes = chunk_sizes(rows.num_rows, num_chunks=num_blocks)
    return map_chunks(rows.select(["row", "uri", "grade"]), decode, sizes=sizes, num_cpus=decode_cpus)


def stream_shards(shards: str, rows: pa.Table, *, preprocess: Preprocess, decode_cpus: float) -> ray.data.Dataset:
    """The images of ``rows`` (``row``, ``image_id``, ``grade``) out of shards, in the shards' order.

    Images that `prepare` put into quarantine are left out.

    Raises:
        InputError: The shards were made otherwise than ``preprocess`` says (the line names the key), or an image is
            neither in them nor in the quarantine beside them.
    """
    check_shards(shards, preprocess)
    found = find_images(shards, rows["image_id"].combine_chunks())
    image_ids = rows["image_id"].take(found.missing).to_pylist()
    known = quarantined(shards) if image_ids else {}
    lost = [image_id for image_id in image_ids if image_id not in known]
    if lost or not found.groups.num_rows:
        name = lost[0] if lost else image_ids[0]
        raise InputError(
            f"{shards}: image_id: {name!r} and {max(len(lost), 1) - 1} more are not in the shards"
            + (
                f" nor in {QUARANTINE} beside them; run `prepare` on this manifest"
                if lost
                else ", all are in quarantine"
            )
        )
    wanted = found.groups["wanted"].combine_chunks()
    columns = {
        name: pa.ListArray.from_arrays(wanted.offsets, rows[name].combine_chunks().take(wanted.values).cast(pa.int64()))
        for name in ("row", "grade")
    }
    groups = pa.table({**{name: found.groups[name] for name in ("part", "group", "places")}, **columns})
    decode = functools.partial(decode_groups, preprocess=preprocess)
    # As many row groups a task as make a task's worth of wanted images.
    last = np.cumsum(np.diff(wanted.offsets.to_numpy())) - 1
    _, sizes = np.unique(last // max(chunk_sizes(len(wanted.values))), return_counts=True)
    return map_chunks(groups, decode, sizes=sizes.tolist(), num_cpus=decode_cpus)


def collect_pool(dataset: ray.data.Dataset | ray.data.DataIterator, *, side_px: int) -> Pool:
    """All images of a dataset in this process's memory, sorted by row."""
    images = [np.empty((0, 3, side_px, side_px), dtype=np.uint8)]
    rows, grades = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for batch in dataset.iter_batches(batch_size=256, batch_format="numpy"):
        if len(batch["row"]):
            images.append(batch["image"])
            rows.append(batch["row"])
            grades.append(batch["grade"])
    row = np.concatenate(rows)
    order = np.argsort(row, kind="stable")
    return Pool(np.concatenate(images)[order], row[order], np.concatenate(grades)[order])


def cached(dataset: ray.data.Dataset, *, num_rows: int, side_px: int, limit_fraction: float = 0.3) -> ray.data.Dataset:
    """The dataset, decoded once and for all where it fits that share of the cluster's object store.

    Args:
        dataset: Of `stream_originals` or `stream_shards`.
        num_rows: Images in it, at most.
        side_px: Their side.
        limit_fraction: Share of the object store, in [0, 1]. A cached dataset also knows how many images it has.
    """
    is_small = num_rows * 3 * side_px**2 <= limit_fraction * cluster_total("object_store_memory")
    return dataset.materialize() if is_small else dataset
