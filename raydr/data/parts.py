"""The parts of a folder of shards: how one is committed, and the manifest that names the complete set.

A part is a Parquet file that appears whole, then its record beside it: digest, bytes, rows. A part without a record of
its size counts for nothing. Readers take the parts that the manifest names, so that a run under way disturbs none.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raydr import storage
from raydr.data.prepared import Recipe
from raydr.errors import InputError

MANIFEST: Final = "manifest.json"
NUM_READERS: Final = 8  # files read at once: an object store answers each in tens of milliseconds
_OWN_FILE: Final = re.compile(r"part-\d{5,}-[0-9a-f]{8}\.(parquet|json)")
# What a write that was cut off leaves on a local disk.
_UNFINISHED: Final = re.compile(rf"\.({_OWN_FILE.pattern}|{re.escape(MANIFEST)})\.[0-9a-f]+")
_ROWS_PER_GROUP: Final = 64  # what a reader decodes at once


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """A committed part; of an image in more than one, the one with the highest number has the newest."""

    number: int
    name: str
    sha256: str
    """Of the file."""
    num_bytes: int
    num_rows: int
    """With those whose photograph could not be used."""

    def record(self) -> bytes:
        """What is written beside the part, as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2).encode()


def part_name(number: int, recipe: Recipe) -> str:
    """The file name of a part."""
    return f"part-{number:05d}-{recipe.digest}.parquet"


def commit_part(shards: str, rows: pa.Table, *, number: int, recipe: Recipe) -> Part:
    """Write one part (columns of `prepared.SHARD`) and its record; run again it writes the same bytes."""
    sink = pa.BufferOutputStream()
    # JPEGs neither compress nor repeat.
    compression = {name: "none" if name == "jpeg" else "zstd" for name in rows.column_names}
    with pq.ParquetWriter(
        sink, rows.schema, compression=compression, use_dictionary=False, write_page_checksum=True
    ) as writer:
        for start in range(0, rows.num_rows, _ROWS_PER_GROUP):
            # One chunk a column, else the pages would end where the tasks' tables end.
            writer.write_table(rows.slice(start, _ROWS_PER_GROUP).combine_chunks())
    content = sink.getvalue().to_pybytes()
    name = part_name(number, recipe)
    part = Part(number, name, hashlib.sha256(content).hexdigest(), len(content), rows.num_rows)
    uri = storage.join(shards, name)
    storage.delete_file(_record_uri(uri))  # an older record must not vouch for the new bytes
    storage.write_bytes(uri, content)
    storage.write_bytes(_record_uri(uri), part.record())
    return part


def commit_chunks(
    shards: str, number: int, recipe: Recipe, known: Sequence[str | None] | None, *chunks: pa.Table
) -> Part | None:
    """`commit_part` of what is new in chunks of rows; None where nothing is.

    Args:
        shards: Folder of the parts.
        number: The part's.
        recipe: How the pictures were made.
        known: For photographs that were tried before the reason that each failed for, else None.
        chunks: The part's rows, in order.
    """
    rows = pa.concat_tables(chunks)
    if known is not None:
        is_known = pc.equal(rows["reason"], pa.array(known, pa.string()))
        rows = rows.filter(pc.invert(pc.fill_null(is_known, False)))  # noqa: FBT003  # pyarrow's own
    return commit_part(shards, rows, number=number, recipe=recipe) if rows.num_rows else None


def find_files(shards: str) -> dict[str, int]:
    """Bytes by name of all files in the folder ``shards``, which may be missing.

    Raises:
        InputError: One of them is not of `prepare`.
    """
    if not storage.exists(shards):
        return {}
    prefix = storage.absolute(shards).rstrip("/") + "/"
    files = {uri.removeprefix(prefix): size for uri, size, _ in storage.list_files(shards)}
    for name in files:
        if name != MANIFEST and not _OWN_FILE.fullmatch(name) and not _UNFINISHED.fullmatch(name):
            raise InputError(f"{shards}: holds {name}, which is not of prepare; choose another `out`")
    return files


def committed_parts(shards: str, files: Mapping[str, int], recipe: Recipe, *, verify: bool) -> list[Part]:
    """The parts among ``files`` that were made by ``recipe`` and are whole, by number.

    Args:
        shards: Their folder.
        files: Of `find_files`.
        recipe: Parts of another one are left out.
        verify: Read every file and leave out those whose digest is not the record's; else the size must do.
    """
    names = [name for name in files if name.endswith(f"-{recipe.digest}.parquet") and _record_uri(name) in files]
    uris = [storage.join(shards, name) for name in names]
    with ThreadPoolExecutor(NUM_READERS) as readers:
        found = [part for part in readers.map(_read_record, uris) if part and part.num_bytes == files[part.name]]
        if verify:
            digests = readers.map(storage.digest_file, [storage.join(shards, part.name) for part in found])
            found = [part for part, digest in zip(found, digests, strict=True) if part.sha256 == digest]
    return sorted(found)


def write_manifest(shards: str, parts: Sequence[Part], recipe: Recipe) -> None:
    """Name the complete set of parts; from then on readers see it."""
    listed = [
        {"name": part.name, "sha256": part.sha256, "bytes": part.num_bytes, "rows": part.num_rows} for part in parts
    ]
    content = {**recipe.description(), "rows": sum(part.num_rows for part in parts), "parts": listed}
    storage.write_bytes(storage.join(shards, MANIFEST), json.dumps(content, indent=2).encode())


def delete_others(shards: str, files: Iterable[str], parts: Sequence[Part]) -> None:
    """Delete what is of `prepare` among ``files`` but is neither a part, its record nor the manifest."""
    kept = {MANIFEST, *(part.name for part in parts), *(_record_uri(part.name) for part in parts)}
    for name in sorted(set(files) - kept):
        storage.delete_file(storage.join(shards, name))


def read_columns(shards: str, names: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """Columns of parts one after another, with ``part`` (its place in ``names``), ``group`` and ``place`` in it.

    Raises:
        InputError: A part is damaged.
    """
    uris = [storage.join(shards, name) for name in names]
    with ThreadPoolExecutor(NUM_READERS) as readers:
        tables = list(readers.map(lambda number: _read_part(uris[number], number, columns), range(len(uris))))
    return pa.concat_tables(tables)


def newest_rows(image_ids: pa.Array | pa.ChunkedArray, wanted: pa.Array | pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Where each of ``wanted`` (unique) stands last in ``image_ids``, -1 where it does not."""
    place = pc.index_in(image_ids, value_set=wanted.combine_chunks() if isinstance(wanted, pa.ChunkedArray) else wanted)
    rows = np.flatnonzero(pc.is_valid(place).to_numpy(zero_copy_only=False))
    newest = np.full(len(wanted), -1, dtype=np.int64)
    np.maximum.at(newest, place.drop_null().to_numpy(zero_copy_only=False), rows)
    return newest


def _record_uri(part: str) -> str:
    return f"{part.removesuffix('.parquet')}.json"


def _read_record(uri: str) -> Part | None:
    try:
        content = json.loads(storage.read_bytes(_record_uri(uri)))
        return Part(**{field.name: content[field.name] for field in dataclasses.fields(Part)})
    except (ValueError, KeyError, TypeError):
        return None  # not one of ours any more: the part is made again


def open_part(uri: str) -> pq.ParquetFile:
    """A part, open for reading; pages whose checksum (CRC-32) is wrong raise OSError when they are read."""
    system, path = storage.locate(uri)
    return pq.ParquetFile(path, filesystem=system, pre_buffer=True, page_checksum_verification=True)


def damaged(uri: str, error: Exception) -> InputError:
    """What to tell of a part that cannot be read."""
    text = " ".join(str(error).split())
    return InputError(
        f"{uri}: cannot be read as a shard ({text}); `prepare` with verify = true makes a damaged one again"
    )


def _read_part(uri: str, number: int, columns: Sequence[str]) -> pa.Table:
    try:
        with open_part(uri) as file:
            lengths = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            table = file.read(columns=list(columns))
    except (OSError, pa.ArrowInvalid) as error:
        raise damaged(uri, error) from error
    places = [np.arange(length) for length in lengths]
    found = {
        "part": np.full(sum(lengths), number),
        "group": np.repeat(np.arange(len(lengths)), lengths),
        "place": np.concatenate([*places, np.empty(0, dtype=np.int64)]),
    }
    for name, column in found.items():
        table = table.append_column(name, pa.array(column.astype(np.int64)))
    return table
