"""The parts of a folder of shards: how one is committed, and the manifest that names the complete set.

A part is two Parquet files that each appear whole: the pictures, then their record, which has all that is known of the
photographs and the pictures' digest and size. Pictures without a record of their size count for nothing. Readers take
the parts that the manifest names, so that a run under way disturbs none.
"""

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raydr import storage
from raydr.data.prepared import Recipe
from raydr.errors import InputError

MANIFEST: Final = "manifest.json"
NUM_READERS: Final = 8  # files read at once: an object store answers each in tens of milliseconds
PICTURES: Final = pa.schema([("image_id", pa.string()), ("jpeg", pa.binary())])
_OWN_FILE: Final = re.compile(r"part-\d{5,}-[0-9a-f]{8}\.(parquet|rows)")
# What a write that was cut off leaves on a local disk.
_UNFINISHED: Final = re.compile(rf"\.({_OWN_FILE.pattern}|{re.escape(MANIFEST)})\.[0-9a-f]+")
_ROWS_PER_GROUP: Final = 16  # what a reader has to read at once; shuffled readers mix groups from all over
_PART_KEY: Final = b"raydr.part"
_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """A committed part; of an image in more than one, the one with the highest number has the newest."""

    number: int
    name: str
    """Of the file of the pictures."""
    sha256: str
    """Of that file."""
    num_bytes: int
    num_images: int
    """Photographs."""
    num_pictures: int
    """Those of them that could be used."""


def part_name(number: int, recipe: Recipe) -> str:
    """The file name of a part."""
    return f"part-{number:05d}-{recipe.digest}.parquet"


def commit_part(shards: str, rows: pa.Table, *, number: int, recipe: Recipe) -> Part:
    """Write one part of rows as `prepared.SHARD` has them; run again it writes the same bytes."""
    is_picture = pc.is_valid(rows["jpeg"])
    content = _pictures(rows.filter(is_picture).select(PICTURES.names))
    digest = hashlib.sha256(content).hexdigest()
    num_pictures = int(pc.sum(is_picture).as_py())
    part = Part(number, part_name(number, recipe), digest, len(content), rows.num_rows, num_pictures)
    uri = storage.join(shards, part.name)
    storage.delete_file(_record_of(uri))  # an older record must not vouch for the new pictures
    storage.write_bytes(uri, content)
    storage.write_bytes(_record_of(uri), _record(part, rows, is_picture.to_numpy()))
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
    names = [name for name in files if name.endswith(f"-{recipe.digest}.parquet") and _record_of(name) in files]
    with ThreadPoolExecutor(NUM_READERS) as readers:
        read = readers.map(_read_part, [storage.join(shards, name) for name in names])
        found = [part for part in read if part and part.num_bytes == files[part.name]]
        if verify:
            digests = readers.map(storage.digest_file, [storage.join(shards, part.name) for part in found])
            found = [part for part, digest in zip(found, digests, strict=True) if part.sha256 == digest]
    return sorted(found)


def write_manifest(shards: str, parts: Sequence[Part], recipe: Recipe) -> None:
    """Name the complete set of parts; from then on readers see it."""
    listed = [
        {
            "name": part.name,
            "sha256": part.sha256,
            "bytes": part.num_bytes,
            "images": part.num_images,
            "pictures": part.num_pictures,
        }
        for part in parts
    ]
    content = {**recipe.description(), "parts": listed}
    storage.write_bytes(storage.join(shards, MANIFEST), json.dumps(content, indent=2).encode())


def delete_others(shards: str, files: Iterable[str], parts: Sequence[Part]) -> None:
    """Delete what is of `prepare` among ``files`` but is neither a part, its record nor the manifest."""
    kept = {MANIFEST, *(part.name for part in parts), *(_record_of(part.name) for part in parts)}
    for name in sorted(set(files) - kept):
        storage.delete_file(storage.join(shards, name))


def read_records(shards: str, names: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """What is known of the photographs of parts, one part after another.

    Args:
        shards: Folder of the parts.
        names: The parts'.
        columns: Of `prepared.SHARD` but ``jpeg``; ``group`` and ``place``: the row group and the row in it that has the
            picture, null where there is none. ``part``, the place in ``names``, is added.

    Raises:
        InputError: A record is damaged.
    """
    uris = [storage.join(shards, name) for name in names]
    with ThreadPoolExecutor(NUM_READERS) as readers:
        tables = list(readers.map(functools.partial(_read_record, columns=list(columns)), uris))
    lengths = [table.num_rows for table in tables]
    return pa.concat_tables(tables).append_column("part", pa.array(np.repeat(np.arange(len(names)), lengths)))


def newest_rows(image_ids: pa.Array | pa.ChunkedArray, wanted: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    """Where each of ``wanted`` (unique) stands last in ``image_ids``, -1 where it does not."""
    place = pc.index_in(image_ids, value_set=wanted.combine_chunks() if isinstance(wanted, pa.ChunkedArray) else wanted)
    rows = np.flatnonzero(pc.is_valid(place).to_numpy(zero_copy_only=False))
    newest = np.full(len(wanted), -1, dtype=np.int64)
    np.maximum.at(newest, place.drop_null().to_numpy(zero_copy_only=False), rows)
    return newest


def read_part(uri: str, read: Callable[[pq.ParquetFile], _Read]) -> _Read:
    """What ``read`` makes of a part's open pictures; it starts again where an object store fails it.

    Raises:
        InputError: The part is damaged (a page's CRC-32 is wrong) or is not there.
    """
    try:
        return storage.read_with(uri, lambda file: read(pq.ParquetFile(file, page_checksum_verification=True)))
    except (storage.UnavailableError, storage.DeniedError):
        raise
    except (OSError, pa.ArrowInvalid) as error:
        raise damaged(uri, error) from error


def damaged(uri: str, error: Exception) -> InputError:
    """What to tell of a file that cannot be read."""
    text = storage.cause_of(error)
    return InputError(f"{uri}: cannot be read ({text}); `prepare` with verify = true makes a damaged shard again")


def _pictures(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    # JPEGs neither compress nor repeat; small footers, as readers of single row groups read one every time.
    with pq.ParquetWriter(
        sink, PICTURES, compression="none", use_dictionary=False, write_statistics=False, write_page_checksum=True
    ) as writer:
        for start in range(0, rows.num_rows, _ROWS_PER_GROUP):
            # One chunk a column, else the pages would end where the tasks' tables end.
            writer.write_table(rows.slice(start, _ROWS_PER_GROUP).combine_chunks())
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _record(part: Part, rows: pa.Table, is_picture: NDArray[np.bool_]) -> bytes:
    row = np.cumsum(is_picture) - 1
    record = rows.drop_columns(["jpeg"]).combine_chunks()
    for name, column in (("group", row // _ROWS_PER_GROUP), ("place", row % _ROWS_PER_GROUP)):
        record = record.append_column(name, pa.array(column, pa.int64(), mask=~is_picture))
    record = record.replace_schema_metadata({_PART_KEY: json.dumps(dataclasses.asdict(part))})
    sink = pa.BufferOutputStream()
    pq.write_table(record, sink, compression="zstd", write_page_checksum=True)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _record_of(pictures: str) -> str:
    return f"{pictures.removesuffix('.parquet')}.rows"


def _read_part(uri: str) -> Part | None:
    try:
        metadata = pq.read_schema(pa.BufferReader(storage.read_bytes(_record_of(uri)))).metadata
        part = Part(**json.loads(metadata[_PART_KEY]))
    except (ValueError, KeyError, TypeError):  # ArrowInvalid is a ValueError
        return None  # not one of ours any more: the part is made again
    return part if part.name == uri.rpartition("/")[2] else None


def _read_record(uri: str, columns: list[str]) -> pa.Table:
    record = _record_of(uri)
    try:
        source = pa.BufferReader(storage.read_bytes(record))
        with pq.ParquetFile(source, page_checksum_verification=True) as file:
            return file.read(columns=columns).replace_schema_metadata()
    except (storage.UnavailableError, storage.DeniedError):
        raise
    except (OSError, pa.ArrowInvalid) as error:
        raise damaged(record, error) from error
