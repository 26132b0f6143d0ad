"""Decoded images for trainers: columns ``image`` uint8 [3, S, S], ``row`` int64, ``grade`` int64."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from numpy.typing import NDArray

from raydr.data.blocks import DecodeRoom, Function, chunk_sizes, map_plan
from raydr.data.decoding import decode_readable, decode_stored
from raydr.data.epochs import EpochClock
from raydr.data.ingest import QUARANTINE
from raydr.data.order import ROWS_PER_TASK, Plan, in_order, mixed_groups, shuffled_rows
from raydr.data.shards import check_shards, find_images, quarantined
from raydr.engine.batch import Pool
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Another order in every epoch, a matter of seed, epoch and rows alone."""

    seed: int
    clock: EpochClock
    """Says which epoch it is."""


def stream_originals(
    rows: pa.Table, *, preprocess: Preprocess, room: DecodeRoom, shuffle: Shuffle | None = None
) -> ray.data.Dataset:
    """The photographs of ``rows`` (``row``, ``uri``, ``grade``), decoded anew in every epoch.

    In the order of ``rows``, or in a permutation of all of them. An unreadable photograph is left out and costs no
    other; as many are lost as the dataset is short of ``rows``.
    """
    if shuffle is None:
        plan: Plan = functools.partial(in_order, sizes=tuple(chunk_sizes(rows.num_rows)))
    else:
        plan = functools.partial(shuffled_rows, num_rows=rows.num_rows, seed=shuffle.seed)
    decode = functools.partial(decode_readable, preprocess=preprocess)
    return _stream(
        rows.select(["row", "uri", "grade"]), decode, plan, preprocess=preprocess, room=room, shuffle=shuffle
    )


def stream_shards(
    shards: str, rows: pa.Table, *, preprocess: Preprocess, room: DecodeRoom, shuffle: Shuffle | None = None
) -> ray.data.Dataset:
    """The images of ``rows`` (``row``, ``image_id``, ``grade``) out of shards.

    In the shards' order, or shuffled: a row group can only be read whole, so a task reads 4 to 16 of them from all
    over the shards and mixes their images (`raydr.data.order.mixed_groups`). Images that `prepare` put into quarantine
    are left out.

    Raises:
        InputError: The shards were made otherwise than ``preprocess`` says (the line names the key), or an image is
            neither in them nor in the quarantine beside them.
    """
    check_shards(shards, preprocess)
    found = find_images(shards, rows["image_id"].combine_chunks())
    _check_missing(shards, rows["image_id"].take(found.missing).to_pylist(), found.groups.num_rows)
    lengths = pc.list_value_length(found.groups["wanted"]).to_numpy()
    wanted = found.groups["wanted"].combine_chunks().flatten()
    part = found.groups["part"].combine_chunks().dictionary_encode()
    table = pa.table(
        {
            "part": part.take(pa.array(np.repeat(np.arange(len(lengths)), lengths))),
            "group": np.repeat(found.groups["group"].to_numpy(), lengths),
            "place": found.groups["places"].combine_chunks().flatten(),
            **{name: rows[name].combine_chunks().take(wanted).cast(pa.int64()) for name in ("row", "grade")},
        }
    )
    if shuffle is None:
        # As many row groups a task as make a task's worth of wanted images.
        task = (np.cumsum(lengths) - 1) // max(chunk_sizes(len(wanted)))
        sizes = np.bincount(np.unique(task, return_inverse=True)[1], weights=lengths).astype(int)
        plan: Plan = functools.partial(in_order, sizes=tuple(sizes.tolist()))
    else:
        plan = functools.partial(mixed_groups, lengths=lengths.astype(np.int64), seed=shuffle.seed)
    decode = functools.partial(decode_stored, preprocess=preprocess)
    return _stream(table, decode, plan, preprocess=preprocess, room=room, shuffle=shuffle)


def _check_missing(shards: str, missing: list[str], num_groups: int) -> None:
    known = quarantined(shards) if missing else {}
    lost = [image_id for image_id in missing if image_id not in known]
    if lost or not num_groups:
        name = lost[0] if lost else missing[0]
        raise InputError(
            f"{shards}: image_id: {name!r} and {max(len(lost), 1) - 1} more are not in the shards"
            + (
                f" nor in {QUARANTINE} beside them; run `prepare` on this manifest"
                if lost
                else ", all are in quarantine"
            )
        )


def _stream(
    table: pa.Table, decode: Function, plan: Plan, *, preprocess: Preprocess, room: DecodeRoom, shuffle: Shuffle | None
) -> ray.data.Dataset:
    image_bytes, ahead_bytes = 3 * preprocess.side_px**2, None
    if shuffle is not None and not room.grows:
        # All that the running tasks make, as only one of them is next in turn, and two blocks more for each.
        rows_ahead = max(map(len, plan(0))) + 2 * ROWS_PER_TASK
        ahead_bytes = room.num_tasks() * rows_ahead * image_bytes
    return map_plan(
        table,
        decode,
        plan=plan,
        room=room,
        clock=None if shuffle is None else shuffle.clock,
        block_bytes=ROWS_PER_TASK * image_bytes,
        ahead_bytes=ahead_bytes,
    )


def collect_pool(
    dataset: ray.data.Dataset | ray.data.DataIterator, *, side_px: int, rows: NDArray[np.int64] | None = None
) -> Pool:
    """All images of a dataset in this process's memory, sorted by row.

    Args:
        dataset: Decoded images.
        side_px: Their side.
        rows: That it has but for those that cannot be read, in any order; each image then goes to its place as it
            comes. None: not known, and all are held twice for a moment.
    """
    found = (batch for batch in dataset.iter_batches(batch_size=256, batch_format="numpy") if len(batch["row"]))
    batches: Iterable[dict[str, Any]] = found
    if rows is None:
        batches = list(found)
        rows = np.concatenate([np.empty(0, dtype=np.int64), *(batch["row"] for batch in batches)])
    row = np.sort(rows)
    image = np.empty((len(row), 3, side_px, side_px), dtype=np.uint8)
    grade, is_there = np.empty(len(row), dtype=np.int64), np.zeros(len(row), dtype=np.bool_)
    for batch in batches:
        place = np.searchsorted(row, batch["row"])
        image[place], grade[place], is_there[place] = batch["image"], batch["grade"], True
    if is_there.all():
        return Pool(image, row, grade)
    return Pool(image[is_there], row[is_there], grade[is_there])


def fits_memory(num_rows: int, *, side_px: int, store_bytes: float, limit_fraction: float = 0.3) -> bool:
    """Whether decoded images take no more than a share, in [0, 1], of an object store.

    Args:
        num_rows: Images, at most.
        side_px: Their side.
        store_bytes: The store of every node that is to hold all of them.
        limit_fraction: What is left is for the streams and for what Ray moves about.
    """
    return num_rows * 3 * side_px**2 <= limit_fraction * store_bytes
