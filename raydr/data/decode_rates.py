"""How fast one core of this machine decodes photographs, measured on some of them."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from raydr import storage
from raydr.data.photographs import read_photograph
from raydr.errors import InputError
from raydr.images.jpeg import UnreadableImageError, decode, encode
from raydr.images.preprocess import Preprocess

_NUM_READERS: Final = 8
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class DecodeRates:
    """Images a second of one core, reading and writing not counted, and mean sizes in bytes."""

    original_per_s: float
    """Photographs to inputs."""
    shard_per_s: float
    """Prepared pictures to inputs."""
    prepare_per_s: float
    """Photographs to prepared pictures."""
    original_bytes: float
    shard_bytes: float
    num_photographs: int
    """The readable ones of the sample."""


def sample_of(uris: Sequence[str], *, count: int, seed: int) -> list[str]:
    """``count`` of ``uris``, or all where there are fewer, drawn by ``seed``."""
    order = np.random.default_rng(seed).permutation(len(uris))
    return [uris[place] for place in order[:count]]


def mean_bytes(uris: Sequence[str]) -> float:
    """The mean size of those of the files that are there; InputError where none is."""
    with ThreadPoolExecutor(_NUM_READERS) as readers:
        sizes = [size for size in readers.map(_size, uris) if size]
    if not sizes:
        raise InputError(f"{uris[0]}: is no file, nor is any of the {len(uris)} photographs looked at")
    return statistics.fmean(sizes)


def measure_decoding(
    uris: Sequence[str], *, preprocess: Preprocess, shard_px: int, jpeg_quality: int, seconds: float
) -> DecodeRates:
    """How fast one core makes inputs and prepared pictures of photographs.

    What counts is this thread's own time on a core, so a busy machine measures the same; the median of several rounds
    through all photographs is taken.

    Args:
        uris: The photographs; unreadable ones are left out.
        preprocess: The network's input, straight from photographs.
        shard_px: Side of the prepared pictures.
        jpeg_quality: Theirs.
        seconds: For each of the three rates; one round is made in any case.

    Raises:
        InputError: None of the photographs can be read.
    """
    cv2.setNumThreads(1)
    to_shard = dataclasses.replace(preprocess, side_px=shard_px, through_px=None)
    from_shard = dataclasses.replace(preprocess, through_px=shard_px)
    originals, prepared = _readable(uris, to_shard, jpeg_quality)
    return DecodeRates(
        original_per_s=_rate(preprocess, originals, seconds),
        shard_per_s=_rate(lambda jpeg: from_shard.finish(decode(jpeg, min_side_px=shard_px)), prepared, seconds),
        prepare_per_s=_rate(lambda data: encode(to_shard.canvas(data), quality=jpeg_quality), originals, seconds),
        original_bytes=statistics.fmean(map(len, originals)),
        shard_bytes=statistics.fmean(map(len, prepared)),
        num_photographs=len(originals),
    )


def _readable(uris: Sequence[str], to_shard: Preprocess, jpeg_quality: int) -> tuple[list[bytes], list[bytes]]:
    """The files of the readable photographs, and these prepared."""
    originals, prepared, reasons = [], [], []
    for uri in uris:
        try:
            data = read_photograph(uri)
            prepared.append(encode(to_shard.canvas(data), quality=jpeg_quality))
            originals.append(data)
        except UnreadableImageError as error:
            reasons.append(f"{uri}: {error}")
    if not originals:
        raise InputError(f"{reasons[0]}; none of the {len(uris)} photographs that were drawn can be read")
    return originals, prepared


def _rate(function: Callable[[_Item], NDArray[np.uint8] | bytes], items: Sequence[_Item], seconds: float) -> float:
    rounds: list[float] = []
    while not rounds or sum(rounds) < seconds:
        started = time.thread_time()
        for item in items:
            function(item)
        rounds.append(time.thread_time() - started)
    return len(items) / statistics.median(rounds)


def _size(uri: str) -> int | None:
    try:
        system, path = storage.locate(uri)
        size: int | None = system.get_file_info(path).size
    except (OSError, ValueError):  # the text is no URI
        return None
    return size
