"""The shards of `prepare` as their readers see them."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raydr import storage
from raydr.data.parts import MANIFEST, NUM_READERS, newest_rows, read_part, read_records
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess


@dataclass(frozen=True, slots=True)
class FoundImages:
    """Where wanted images lie in shards."""

    groups: pa.Table
    """A row for each row group that holds any: ``part``, ``group``, ``places`` in it, and ``wanted``: their numbers."""
    missing: NDArray[np.int64]
    """Numbers of the images that are in no shard."""


def shard_side(shards: str) -> int:
    """The side in pixels of the shards' pictures; InputError where ``shards`` is no folder of `prepare`."""
    return int(_read_manifest(shards)["preprocess"]["side_px"])


def check_shards(shards: str, preprocess: Preprocess) -> None:
    """Raise InputError, naming the key, unless the shards' pictures are what ``preprocess`` makes of photographs."""
    made, uri = _read_manifest(shards)["preprocess"], storage.join(shards, MANIFEST)
    for key in ("crop", "enhance"):
        if made[key] != getattr(preprocess, key):
            raise InputError(f"{uri}: {key}: the shards have {made[key]!r}, wanted is {getattr(preprocess, key)!r}")
    side_px, through_px = int(made["side_px"]), preprocess.through_px or preprocess.side_px
    if preprocess.side_px > side_px:
        raise InputError(f"{uri}: side_px: is {side_px}, below the {preprocess.side_px} that are wanted")
    if through_px != side_px:
        raise InputError(f"{uri}: side_px: is {side_px}, but the input is to be made through {through_px} pixels")


def check_parts(shards: str) -> None:
    """Raise InputError unless every part that the manifest names is there and of its size."""
    _parts(shards)


def find_images(shards: str, image_ids: pa.Array) -> FoundImages:
    """Where the images ``image_ids`` (unique) lie, in the shards' order; in more than one part, the newest counts.

    Raises:
        InputError: No folder of `prepare`, or a part is missing or has another size than the manifest says.
    """
    parts = _parts(shards)
    stored = read_records(shards, parts, ["image_id", "group", "place"])
    newest = newest_rows(stored["image_id"], image_ids)
    is_picture = (newest >= 0) & pc.is_valid(stored["place"]).to_numpy(zero_copy_only=False)[newest]
    wanted = np.flatnonzero(is_picture)
    order = np.argsort(newest[wanted])
    wanted = wanted[order]
    rows = stored.take(newest[wanted])
    part, group, place = (rows[name].to_numpy() for name in ("part", "group", "place"))
    starts = np.flatnonzero(np.any(np.diff(np.stack([part, group], axis=1), axis=0, prepend=-1) != 0, axis=1))
    offsets = pa.array(np.append(starts, len(wanted)).astype(np.int32), pa.int32())
    groups = pa.table(
        {
            "part": pa.array([storage.join(shards, parts[number]) for number in part[starts]], pa.string()),
            "group": pa.array(group[starts], pa.int64()),
            "places": pa.ListArray.from_arrays(offsets, pa.array(place, pa.int64())),
            "wanted": pa.ListArray.from_arrays(offsets, pa.array(wanted, pa.int64())),
        }
    )
    return FoundImages(groups, np.flatnonzero(~is_picture))


def read_jpegs(places: pa.Table) -> Iterator[bytes]:
    """The JPEG of each place (``part``, ``group``, ``place``), in that order; a row group is read once, at first."""
    wanted: dict[str, set[int]] = {}
    keys = list(zip(places["part"].to_pylist(), places["group"].to_pylist(), strict=True))
    for part, group in keys:
        wanted.setdefault(part, set()).add(group)
    with ThreadPoolExecutor(NUM_READERS) as readers:
        columns = dict(
            pair for found in readers.map(_read_groups, *zip(*wanted.items(), strict=True)) for pair in found
        )
    return (columns[key][place].as_py() for key, place in zip(keys, places["place"].to_pylist(), strict=True))


def quarantined(shards: str) -> dict[str, str]:
    """Why each photograph that could not be used is no picture in the shards, as `reason: message`."""
    stored = read_records(shards, _parts(shards), ["image_id", "reason", "message"])
    rows = stored.take(newest_rows(stored["image_id"], pc.unique(stored["image_id"])))
    bad = rows.filter(pc.is_valid(rows["reason"]))
    return {row["image_id"]: f"{row['reason']}: {row['message']}" for row in bad.to_pylist()}


def photograph_facts(shards: str, image_ids: pa.Array | pa.ChunkedArray, columns: Sequence[str]) -> pa.Table:
    """Some columns of `prepared.QUALITY` for images (unique), a row each in their order; null where nothing is known.

    Raises:
        InputError: No folder of `prepare`, or a part or its record is missing or damaged.
    """
    stored = read_records(shards, _parts(shards), ["image_id", *columns])
    newest = newest_rows(stored["image_id"], image_ids)
    return stored.select(columns).take(pa.array(newest, mask=newest < 0))


def _parts(shards: str) -> list[str]:
    """The names of the parts, each there and of the size that the manifest says."""
    uri = storage.join(shards, MANIFEST)
    prefix = storage.absolute(shards).rstrip("/") + "/"
    listed = _read_manifest(shards)["parts"]
    sizes = {found.removeprefix(prefix): size for found, size, _ in storage.list_files(shards, recursive=False)}
    for part in listed:
        name, size = part["name"], sizes.get(part["name"])
        if size != part["bytes"]:
            what = "is missing" if size is None else f"has {size} bytes, not {part['bytes']}"
            raise InputError(f"{uri}: parts: {name} {what}; run `prepare` again to mend the shards")
    return [part["name"] for part in listed]


def _read_groups(part: str, groups: set[int]) -> list[tuple[tuple[str, int], pa.ChunkedArray]]:
    def read(file: pq.ParquetFile) -> list[tuple[tuple[str, int], pa.ChunkedArray]]:
        return [((part, group), file.read_row_group(group, columns=["jpeg"])["jpeg"]) for group in sorted(groups)]

    return read_part(part, read)


def _read_manifest(shards: str) -> dict[str, Any]:
    uri = storage.join(shards, MANIFEST)
    try:
        content = json.loads(storage.read_bytes(uri))
    except OSError as error:
        raise InputError(
            f"{shards}: shards: is no finished folder of `prepare` ({MANIFEST}: {error.strerror or error})"
        ) from None
    except ValueError as error:
        raise InputError(f"{uri}: not valid JSON: {error}") from None
    for key in ("preprocess", "parts"):
        if not isinstance(content, dict) or key not in content:
            raise InputError(f"{uri}: {key}: is missing; `prepare` writes it")
    made: dict[str, Any] = content
    return made
