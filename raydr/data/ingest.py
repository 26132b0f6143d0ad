"""Photographs into shards: Parquet files of small cropped JPEGs, the unreadable ones in quarantine."""

import dataclasses
import functools
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raydr import storage
from raydr.data.blocks import chunk_sizes, map_chunks
from raydr.data.photographs import decoded
from raydr.errors import InputError
from raydr.images.jpeg import UnreadableImageError, encode
from raydr.images.preprocess import Preprocess

SHARDS, PREPROCESS, QUARANTINE = "shards", "preprocess.json", "quarantine.parquet"
PART: Final = re.compile(r"part-\d{5,}\.parquet")
_PARTIAL, _REPLACED = ".shards.partial", ".shards.replaced"
_ROWS_PER_GROUP: Final = 16  # what a reader has to read at once; shuffled readers mix 16 groups from all over
_QUARANTINE_SCHEMA: Final = pa.schema([(name, pa.string()) for name in ("image_id", "uri", "reason", "message")])
_PREPARED_SCHEMA: Final = pa.schema(
    [("shard", pa.int64()), ("jpeg", pa.binary()), *((field.name, field.type) for field in _QUARANTINE_SCHEMA)]
)


@dataclass(frozen=True, slots=True)
class PrepareCounts:
    """What became of the photographs."""

    num_images: int
    num_written: int
    quarantined: Mapping[str, int]
    """Unreadable photographs by reason."""


def prepare_shards(
    rows: pa.Table, *, out: str, preprocess: Preprocess, images_per_shard: int, jpeg_quality: int, decode_cpus: float
) -> PrepareCounts:
    """Write ``out``/shards/part-00000.parquet … (``image_id``, ``jpeg``), preprocess.json there, quarantine.parquet.

    A shard holds ``images_per_shard`` consecutive rows but the unreadable ones, so the same rows give the same shards
    on any cluster. On a local disk ``out``/shards appears when it is complete, taking the place of an earlier one; on
    an object store its preprocess.json comes last.

    Args:
        rows: ``image_id`` (unique) and ``uri``.
        out: Folder that every node can reach.
        preprocess: The canvas of the shards: ``side_px`` is their side, ``through_px`` None.
        images_per_shard: Rows a shard.
        jpeg_quality: 50 to 100.
        decode_cpus: CPUs a task reserves.

    Raises:
        InputError: No rows, an image twice, or ``out``/shards holds files that are not of `prepare`.
    """
    _check_rows(rows)
    final, target = storage.join(out, SHARDS), _begin(out)
    sizes = [min(images_per_shard, rows.num_rows - start) for start in range(0, rows.num_rows, images_per_shard)]
    largest = max(chunk_sizes(rows.num_rows))
    chunks = [length for size in sizes for length in chunk_sizes(size, num_chunks=-(-size // largest))]
    numbered = rows.select(["image_id", "uri"]).append_column(
        "shard", pa.array([number for number, size in enumerate(sizes) for _ in range(size)], pa.int64())
    )
    prepare = functools.partial(_prepare, preprocess=preprocess, quality=jpeg_quality)
    # The chunks end where a shard ends, so batches of a shard's size are the shards.
    written = map_chunks(numbered, prepare, sizes=chunks, num_cpus=decode_cpus).map_batches(
        _write_shard,  # type: ignore[arg-type]  # keyword arguments are not in Ray's type
        batch_size=images_per_shard,
        batch_format="pyarrow",
        fn_kwargs={"folder": target},
        num_cpus=decode_cpus,
    )
    reports = sorted(written.take_all(), key=lambda report: int(report["shard"]))
    bad = [entry for report in reports for entry in report["quarantined"]]
    counts = PrepareCounts(
        rows.num_rows,
        sum(int(report["num_written"]) for report in reports),
        dict(sorted(Counter(entry["reason"] for entry in bad).items())),
    )
    if [report["num_images"] for report in reports] != sizes or counts.num_written + len(bad) != counts.num_images:
        raise RuntimeError(f"{counts} do not add up: photographs were lost or written twice")
    storage.write_table(storage.join(out, QUARANTINE), pa.Table.from_pylist(bad, schema=_QUARANTINE_SCHEMA))
    content = {name: value for name, value in dataclasses.asdict(preprocess).items() if name != "through_px"}
    storage.write_bytes(storage.join(target, PREPROCESS), json.dumps(content, indent=2).encode())
    _finish(target, final)
    return counts


def _check_rows(rows: pa.Table) -> None:
    if not rows.num_rows:
        raise InputError("manifest: has no photographs to prepare")
    if pc.count_distinct(rows["image_id"]).as_py() != rows.num_rows:
        raise InputError("manifest: image_id: an image stands there more than once; every id must be unique")


def _prepare(chunk: pa.Table, *, preprocess: Preprocess, quality: int) -> pa.Table:
    prepared: list[dict[str, Any]] = []
    found = decoded(chunk["uri"].to_pylist(), preprocess.canvas)
    for row, canvas in zip(chunk.to_pylist(), found, strict=True):
        if isinstance(canvas, UnreadableImageError):
            prepared.append({**row, "reason": canvas.reason, "message": canvas.message})
        else:
            prepared.append({**row, "jpeg": encode(canvas, quality=quality)})
    return pa.Table.from_pylist(prepared, schema=_PREPARED_SCHEMA)


def _write_shard(batch: pa.Table, *, folder: str) -> pa.Table:
    """Write one shard and report it as one row; run again it writes the same."""
    (number,) = batch["shard"].unique().to_pylist()
    is_good = pc.is_valid(batch["jpeg"])
    good, bad = batch.filter(is_good).select(["image_id", "jpeg"]), batch.filter(pc.invert(is_good))
    sink = pa.BufferOutputStream()
    # JPEGs neither compress nor repeat.
    pq.write_table(good, sink, row_group_size=_ROWS_PER_GROUP, compression="none", use_dictionary=False)
    storage.write_bytes(storage.join(folder, f"part-{number:05d}.parquet"), sink.getvalue().to_pybytes())
    entries = pa.array(
        [bad.select(_QUARANTINE_SCHEMA.names).to_pylist()], pa.list_(pa.struct(list(_QUARANTINE_SCHEMA)))
    )
    return pa.table(
        {
            "shard": pa.array([number], pa.int64()),
            "num_images": pa.array([batch.num_rows], pa.int64()),
            "num_written": pa.array([good.num_rows], pa.int64()),
            "quarantined": entries,
        }
    )


def _begin(out: str) -> str:
    """The folder to write shards to, empty."""
    out = storage.absolute(out)
    final = storage.join(out, SHARDS)
    if storage.exists(final):
        names = [uri.rpartition("/")[2] for uri, _, _ in storage.list_files(final)]
        foreign = [name for name in names if name != PREPROCESS and not PART.fullmatch(name)]
        if foreign:
            raise InputError(f"{final}: holds {foreign[0]}, which is not of prepare; choose another `out`")
    target = storage.join(out, _PARTIAL) if storage.is_local(out) else final
    storage.delete_folder(target)
    return target


def _finish(target: str, final: str) -> None:
    """Put complete shards in their place."""
    if not storage.is_local(final):
        return
    finished, place = Path(storage.locate(target)[1]), Path(storage.locate(final)[1])
    replaced = place.with_name(_REPLACED)
    storage.delete_folder(str(replaced))
    if place.exists():
        place.rename(replaced)
    finished.rename(place)
    storage.delete_folder(str(replaced))
