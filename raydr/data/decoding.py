"""What a decoding task does with its chunk; its process never loads torch, which would double start and memory."""

from collections.abc import Iterator

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raydr.data.blocks import ColumnBatch
from raydr.data.order import ROWS_PER_TASK
from raydr.data.photographs import decoded
from raydr.data.shards import read_jpegs
from raydr.images.jpeg import UnreadableImageError, decode
from raydr.images.preprocess import Preprocess


def decode_with_errors(chunk: pa.Table, *, preprocess: Preprocess) -> dict[str, NDArray[np.generic]]:
    """``row``, ``uri``, ``image`` uint8 [n, 3, S, S] and ``error`` of a chunk with ``row`` and ``uri``.

    ``error`` is empty where all went well and `reason: message` where the picture is black instead.
    """
    images, uris = _black(chunk.num_rows, preprocess), chunk["uri"].to_pylist()
    errors = [""] * chunk.num_rows
    for number, picture in enumerate(decoded(uris, preprocess)):
        if isinstance(picture, UnreadableImageError):
            errors[number] = str(picture)
        else:
            _put(images[number], picture)
    return {
        "row": _integers(chunk["row"]),
        "uri": np.array(uris, dtype=object),
        "image": images,
        "error": np.array(errors, dtype=object),
    }


def decode_readable(chunk: pa.Table, *, preprocess: Preprocess) -> ColumnBatch:
    """``image``, ``row`` and ``grade`` of a chunk with ``row``, ``uri`` and ``grade``, less the unreadable."""
    found = decode_with_errors(chunk, preprocess=preprocess)
    is_good = found["error"] == ""
    return {
        "image": found["image"] if is_good.all() else found["image"][is_good],
        "row": found["row"][is_good],
        "grade": _integers(chunk["grade"])[is_good],
    }


def decode_stored(chunk: pa.Table, *, preprocess: Preprocess) -> Iterator[ColumnBatch]:
    """``image``, ``row`` and ``grade`` of places in shards (``part``, ``group``, ``place``, ``row``, ``grade``).

    In their order, at most 64 images at once: of the others only the JPEGs are held.
    """
    cv2.setNumThreads(1)  # the tasks beside this one use the other CPUs
    row, grade = (_integers(chunk[name]) for name in ("row", "grade"))
    jpegs = read_jpegs(chunk)
    shard_px = preprocess.through_px or preprocess.side_px
    for start in range(0, len(row), ROWS_PER_TASK):
        piece = slice(start, min(start + ROWS_PER_TASK, len(row)))
        images = _black(piece.stop - start, preprocess)
        for image in images:
            _put(image, preprocess.finish(decode(next(jpegs), min_side_px=shard_px)))
        yield {"image": images, "row": row[piece], "grade": grade[piece]}


def _put(image: NDArray[np.uint8], picture: NDArray[np.uint8]) -> None:
    """Copy a picture [S, S, 3] into ``image`` [3, S, S]; a third of the time of a transposed copy."""
    cv2.split(picture, list(image))


def _black(count: int, preprocess: Preprocess) -> NDArray[np.uint8]:
    return np.zeros((count, 3, preprocess.side_px, preprocess.side_px), dtype=np.uint8)


def _integers(column: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(column.to_numpy(), dtype=np.int64)
