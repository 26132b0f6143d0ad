"""What a decoding task does with its chunk; its process never loads torch, which would double start and memory."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raydr.data.blocks import ColumnBatch
from raydr.data.photographs import decoded
from raydr.data.shards import read_pictures
from raydr.images.jpeg import UnreadableImageError
from raydr.images.preprocess import Preprocess


def decode_with_errors(chunk: pa.Table, *, preprocess: Preprocess) -> dict[str, NDArray[np.generic]]:
    """``row``, ``image`` uint8 [n, 3, S, S] and ``error`` of a chunk with ``row`` and ``uri``.

    ``error`` is empty where all went well and `reason: message` where the picture is black instead.
    """
    images = _black(chunk.num_rows, preprocess)
    errors = [""] * chunk.num_rows
    for number, picture in enumerate(decoded(chunk["uri"].to_pylist(), preprocess)):
        if isinstance(picture, UnreadableImageError):
            errors[number] = str(picture)
        else:
            images[number] = picture.transpose(2, 0, 1)
    return {"row": _integers(chunk["row"]), "image": images, "error": np.array(errors, dtype=object)}


def decode_readable(chunk: pa.Table, *, preprocess: Preprocess) -> ColumnBatch:
    """``image``, ``row`` and ``grade`` of a chunk with ``row``, ``uri`` and ``grade``, less the unreadable."""
    found = decode_with_errors(chunk, preprocess=preprocess)
    is_good = found["error"] == ""
    return {
        "image": found["image"] if is_good.all() else found["image"][is_good],
        "row": found["row"][is_good],
        "grade": _integers(chunk["grade"])[is_good],
    }


def decode_groups(groups: pa.Table, *, preprocess: Preprocess) -> ColumnBatch:
    """``image``, ``row`` and ``grade`` of shard row groups with lists of ``places``, ``row`` and ``grade``."""
    row, grade = (_integers(groups[name].combine_chunks().flatten()) for name in ("row", "grade"))
    images = _black(len(row), preprocess)
    shard_px = preprocess.through_px or preprocess.side_px
    for number, picture in enumerate(read_pictures(groups, shard_px=shard_px)):
        images[number] = preprocess.finish(picture).transpose(2, 0, 1)
    return {"image": images, "row": row, "grade": grade}


def _black(count: int, preprocess: Preprocess) -> NDArray[np.uint8]:
    return np.zeros((count, 3, preprocess.side_px, preprocess.side_px), dtype=np.uint8)


def _integers(column: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(column.to_numpy(), dtype=np.int64)
