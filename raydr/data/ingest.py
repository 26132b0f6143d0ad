"""Photographs into shards: Parquet files of small cropped JPEGs, the unreadable ones in quarantine."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raydr import storage
from raydr.data.missing import plan_parts
from raydr.data.part_tasks import PrepareProgress, make_parts
from raydr.data.parts import (
    Part,
    committed_parts,
    delete_others,
    find_files,
    newest_rows,
    read_records,
    write_manifest,
)
from raydr.data.prepared import QUALITY, QUARANTINE_COLUMNS, SHARD, Recipe
from raydr.errors import InputError

SHARDS: Final = "shards"
QUARANTINE: Final = "quarantine.parquet"
QUALITY_TABLE: Final = "quality.parquet"


@dataclass(frozen=True, slots=True)
class PrepareCounts:
    """What became of the photographs."""

    num_images: int
    num_written: int
    quarantined: Mapping[str, int]
    """Photographs that could not be used, by reason."""
    num_new: int
    """Pictures that this run made; the others were there."""
    num_shards: int
    num_bytes: int
    """Of the shards."""
    is_complete: bool
    """Whether the manifest names them: not where too many photographs could not be used."""


def prepare_shards(
    rows: pa.Table,
    *,
    out: str,
    recipe: Recipe,
    images_per_shard: int,
    decode_cpus: float,
    max_bad_fraction: float = 1.0,
    verify: bool = False,
    on_progress: Callable[[PrepareProgress], None] = lambda _: None,
) -> PrepareCounts:
    """Make what is missing of the shards of ``rows`` in ``out``, and its tables of qualities and of the quarantine.

    ``out``/shards gets a part for every ``images_per_shard`` consecutive photographs that no part holds, so the same
    rows give the same shards on any cluster; each part is committed by itself, and a run that is cut off loses the
    parts under way, no other. A photograph that failed before, or whose URI has changed, is tried again; one that was
    prepared is not read again. Parts of other settings stay until the new manifest is written, which comes last.

    Args:
        rows: ``image_id`` (unique) and ``uri``.
        out: Folder that every node can reach.
        recipe: How their pictures are made; its ``through_px`` is None.
        images_per_shard: Rows a shard.
        decode_cpus: CPUs a task reserves.
        max_bad_fraction: Where more photographs than this share cannot be used, the manifest is left as it is, and so
            are parts of other settings; the new parts stay for the next run.
        verify: Read the parts that are there and make those again whose digest is wrong; else their size must do.
        on_progress: Called while photographs are prepared, about twice a second.

    Raises:
        InputError: No rows, an image twice, or ``out``/shards holds files that are not of `prepare`.
    """
    _check_rows(rows)
    out = storage.absolute(out)
    shards = storage.join(out, SHARDS)
    files = find_files(shards)
    parts = committed_parts(shards, files, recipe, verify=verify)
    stored = read_records(shards, [part.name for part in parts], ["image_id", "uri", "reason"]) if parts else None
    planned = plan_parts(rows, stored, numbers={part.number for part in parts}, images_per_shard=images_per_shard)
    made = make_parts(planned, shards=shards, recipe=recipe, num_cpus=decode_cpus, on_progress=on_progress)
    parts = sorted([*parts, *made])
    found = _rows_in_parts(rows, shards, parts)
    is_bad = pc.is_valid(found["reason"])
    bad, good = found.filter(is_bad), found.filter(pc.invert(is_bad))
    if good.num_rows + bad.num_rows != rows.num_rows:
        raise RuntimeError(f"{good.num_rows} pictures and {bad.num_rows} in quarantine are not {rows.num_rows} rows")
    storage.write_table(storage.join(out, QUARANTINE), bad.select(QUARANTINE_COLUMNS))
    storage.write_table(storage.join(out, QUALITY_TABLE), good.select(QUALITY.names))
    is_complete = bad.num_rows <= max_bad_fraction * rows.num_rows
    if is_complete:
        write_manifest(shards, parts, recipe)
        delete_others(shards, files, parts)
    made_numbers = {part.number for part in made}
    new_places = [place for place, part in enumerate(parts) if part.number in made_numbers]
    return PrepareCounts(
        rows.num_rows,
        good.num_rows,
        dict(sorted(Counter(bad["reason"].to_pylist()).items())),
        num_new=int(np.isin(good["part"].to_numpy(), new_places).sum()),
        num_shards=len(parts),
        num_bytes=sum(part.num_bytes for part in parts),
        is_complete=is_complete,
    )


def _check_rows(rows: pa.Table) -> None:
    if not rows.num_rows:
        raise InputError("manifest: has no photographs to prepare")
    if pc.count_distinct(rows["image_id"]).as_py() != rows.num_rows:
        raise InputError("manifest: image_id: an image stands there more than once; every id must be unique")


def _rows_in_parts(rows: pa.Table, shards: str, parts: list[Part]) -> pa.Table:
    """The newest row of every photograph of ``rows``, less its picture, in that order."""
    stored = read_records(shards, [part.name for part in parts], [name for name in SHARD.names if name != "jpeg"])
    newest = newest_rows(stored["image_id"], rows["image_id"])
    found = stored.take(np.maximum(newest, 0))
    is_lost = (newest < 0) | ~pc.equal(found["uri"], rows["uri"]).to_numpy(zero_copy_only=False)
    if is_lost.any():
        raise RuntimeError(f"{is_lost.sum()} of {rows.num_rows} photographs are in no shard and in no quarantine")
    return found
