"""The shards of `prepare` as their readers see them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raydr import storage
from raydr.data.ingest import PART, PREPROCESS, QUARANTINE
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess

_NUM_READERS: Final = 8
_PLACES: Final = pa.schema(
    [("image_id", pa.string()), ("part", pa.int64()), ("group", pa.int64()), ("place", pa.int64())]
)


@dataclass(frozen=True, slots=True)
class FoundImages:
    """Where wanted images lie in shards."""

    groups: pa.Table
    """A row for each row group that holds any: ``part``, ``group``, ``places`` in it, and ``wanted``: their numbers."""
    missing: NDArray[np.int64]
    """Numbers of the images that are in no shard."""


def shard_side(shards: str) -> int:
    """The side in pixels of the shards' pictures; InputError where ``shards`` is no folder of `prepare`."""
    return int(_read_description(shards)["side_px"])


def check_shards(shards: str, preprocess: Preprocess) -> None:
    """Raise InputError, naming the key, unless the shards' pictures are what ``preprocess`` makes of photographs."""
    made, uri = _read_description(shards), storage.join(shards, PREPROCESS)
    for key in ("crop", "enhance"):
        if made[key] != getattr(preprocess, key):
            raise InputError(f"{uri}: {key}: the shards have {made[key]!r}, wanted is {getattr(preprocess, key)!r}")
    side_px, through_px = int(made["side_px"]), preprocess.through_px or preprocess.side_px
    if preprocess.side_px > side_px:
        raise InputError(f"{uri}: side_px: is {side_px}, below the {preprocess.side_px} that are wanted")
    if through_px != side_px:
        raise InputError(f"{uri}: side_px: is {side_px}, but the input is to be made through {through_px} pixels")


def find_images(shards: str, image_ids: pa.Array) -> FoundImages:
    """Where the images ``image_ids`` (unique) lie, in the shards' order."""
    parts = [uri for uri, _, _ in storage.list_files(shards, recursive=False) if PART.fullmatch(uri.rpartition("/")[2])]
    with ThreadPoolExecutor(_NUM_READERS) as readers:
        tables = list(readers.map(_read_ids, range(len(parts)), parts))
    stored = pa.concat_tables(tables) if tables else _PLACES.empty_table()
    wanted = pc.index_in(stored["image_id"], value_set=image_ids)
    stored = stored.append_column("wanted", wanted.cast(pa.int64())).filter(pc.is_valid(wanted))
    keys = np.stack([stored["part"].to_numpy(), stored["group"].to_numpy()], axis=1)
    starts = np.flatnonzero(np.any(np.diff(keys, axis=0, prepend=-1) != 0, axis=1)).astype(np.int32)
    offsets = pa.array(np.append(starts, stored.num_rows).astype(np.int32), pa.int32())
    groups = pa.table(
        {
            "part": pa.array([parts[part] for part in keys[starts, 0]], pa.string()),
            "group": pa.array(keys[starts, 1], pa.int64()),
            "places": pa.ListArray.from_arrays(offsets, _flat(stored["place"])),
            "wanted": pa.ListArray.from_arrays(offsets, _flat(stored["wanted"])),
        }
    )
    is_missing = np.ones(len(image_ids), dtype=bool)
    is_missing[stored["wanted"].to_numpy()] = False
    return FoundImages(groups, np.flatnonzero(is_missing))


def read_jpegs(places: pa.Table) -> Iterator[bytes]:
    """The JPEG of each place (``part``, ``group``, ``place``), in that order; a row group is read once, at first."""
    wanted: dict[str, set[int]] = {}
    keys = list(zip(places["part"].to_pylist(), places["group"].to_pylist(), strict=True))
    for part, group in keys:
        wanted.setdefault(part, set()).add(group)
    with ThreadPoolExecutor(_NUM_READERS) as readers:
        columns = dict(
            pair for found in readers.map(_read_groups, *zip(*wanted.items(), strict=True)) for pair in found
        )
    return (columns[key][place].as_py() for key, place in zip(keys, places["place"].to_pylist(), strict=True))


def quarantined(shards: str) -> dict[str, str]:
    """Why each image in the quarantine beside ``shards`` was not prepared, as `reason: message`."""
    try:
        table = storage.read_table(storage.join(shards.rstrip("/").rpartition("/")[0], QUARANTINE))
    except FileNotFoundError:
        return {}
    return {row["image_id"]: f"{row['reason']}: {row['message']}" for row in table.to_pylist()}


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return pa.array(column.to_numpy(), pa.int64())


def _read_groups(part: str, groups: set[int]) -> list[tuple[tuple[str, int], pa.ChunkedArray]]:
    def read(opened: pa.NativeFile) -> list[tuple[tuple[str, int], pa.ChunkedArray]]:
        file = pq.ParquetFile(opened)
        return [((part, group), file.read_row_group(group, columns=["jpeg"])["jpeg"]) for group in sorted(groups)]

    return storage.read_with(part, read)


def _read_ids(number: int, part: str) -> pa.Table:
    lengths, image_ids = storage.read_with(part, _read_names)
    places = [np.arange(length) for length in lengths]
    return pa.table(
        [
            image_ids,
            pa.array(np.full(sum(lengths), number), pa.int64()),
            pa.array(np.repeat(np.arange(len(lengths)), lengths), pa.int64()),
            pa.array(np.concatenate([*places, np.empty(0, dtype=np.int64)]).astype(np.int64), pa.int64()),
        ],
        schema=_PLACES,
    )


def _read_names(file: pa.NativeFile) -> tuple[list[int], pa.ChunkedArray]:
    """Rows of each row group, and the image ids of all."""
    with pq.ParquetFile(file) as part:
        lengths = [part.metadata.row_group(group).num_rows for group in range(part.num_row_groups)]
        return lengths, part.read(columns=["image_id"])["image_id"]


def _read_description(shards: str) -> dict[str, Any]:
    uri = storage.join(shards, PREPROCESS)
    try:
        content = json.loads(storage.read_bytes(uri))
    except OSError as error:
        raise InputError(
            f"{shards}: shards: is no folder of `prepare` ({PREPROCESS}: {error.strerror or error})"
        ) from None
    except ValueError as error:
        raise InputError(f"{uri}: not valid JSON: {error}") from None
    for key in ("crop", "enhance", "side_px"):
        if not isinstance(content, dict) or key not in content:
            raise InputError(f"{uri}: {key}: is missing; `prepare` writes it")
    made: dict[str, Any] = content
    return made
