"""A photograph as a row of a shard; processes that make such rows load neither torch nor Ray Data."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import pyarrow as pa

from raydr.data.photographs import decoded, read_photograph
from raydr.images.jpeg import UnreadableImageError, encode
from raydr.images.preprocess import Preprocess

_FORMAT: Final = 1  # of a shard: another number, other columns or another meaning
QUARANTINE_COLUMNS: Final = ("image_id", "uri", "reason", "message")
QUALITY: Final = pa.schema(
    [
        ("image_id", pa.string()),
        ("uri", pa.string()),
        ("sha256", pa.string()),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("disc_x_px", pa.float32()),
        ("disc_y_px", pa.float32()),
        ("disc_radius_px", pa.float32()),
        ("disc_fraction", pa.float32()),
        ("focus", pa.float32()),
        ("blur", pa.float32()),
        ("brightness", pa.float32()),
        ("overexposed", pa.float32()),
        ("underexposed", pa.float32()),
        ("gradable", pa.bool_()),
    ]
)
"""What is known of a photograph beside its picture; ``sha256`` is the file's, null where it could not be read."""
SHARD: Final = pa.schema([*QUALITY, ("reason", pa.string()), ("message", pa.string()), ("jpeg", pa.binary())])
"""A row of a shard: ``jpeg`` is null where the photograph could not be used, ``reason`` and ``message`` elsewhere."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the pictures of shards are made of photographs; those of different recipes are never mixed."""

    preprocess: Preprocess
    """``side_px`` is the side of the pictures."""
    jpeg_quality: int

    def description(self) -> dict[str, Any]:
        """The recipe as the shards' manifest has it."""
        preprocess = dataclasses.asdict(self.preprocess)
        del preprocess["through_px"]
        return {"format": _FORMAT, "preprocess": preprocess, "jpeg_quality": self.jpeg_quality}

    @property
    def digest(self) -> str:
        """The first eight hex digits of the description's SHA-256."""
        return hashlib.sha256(json.dumps(self.description(), sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many photographs were tried, and how many of them could not be used."""

    num_images: int
    num_bad: int


def prepare_one(uri: str, recipe: Recipe) -> dict[str, Any]:
    """All of a photograph's row in a shard but its ``image_id`` and ``uri``, in this process alone, without Ray."""
    cv2.setNumThreads(1)  # the processes beside this one use the other CPUs
    try:
        content = read_photograph(uri)
    except UnreadableImageError as error:
        return _refused(error)
    return _prepared(content, recipe)


def prepare_chunk(image_ids: Sequence[str], uris: Sequence[str], recipe: Recipe) -> tuple[Tally, pa.Table]:
    """The shard's rows of photographs: `prepare_one`, reading ahead."""
    found = decoded(uris, functools.partial(_prepared, recipe=recipe))
    made = [
        {"image_id": image_id, "uri": uri, **(_refused(one) if isinstance(one, UnreadableImageError) else one)}
        for image_id, uri, one in zip(image_ids, uris, found, strict=True)
    ]
    return Tally(len(made), sum("reason" in row for row in made)), pa.Table.from_pylist(made, schema=SHARD)


def refused_row(image_id: str, uri: str, reason: str, message: str) -> pa.Table:
    """The row of a photograph that could not be used."""
    row = {"image_id": image_id, "uri": uri, "reason": reason, "message": message}
    return pa.Table.from_pylist([row], schema=SHARD)


def _prepared(content: bytes, recipe: Recipe) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    try:
        found = recipe.preprocess.examine(content)
    except UnreadableImageError as error:
        return {"sha256": digest, **_refused(error)}
    disc, quality = found.disc, found.quality
    return {
        "sha256": digest,
        "width_px": found.width_px,
        "height_px": found.height_px,
        "disc_x_px": disc.center_x_px,
        "disc_y_px": disc.center_y_px,
        "disc_radius_px": disc.radius_px,
        "disc_fraction": quality.disc_fraction,
        "focus": quality.focus,
        "blur": quality.blur,
        "brightness": quality.brightness,
        "overexposed": quality.overexposed,
        "underexposed": quality.underexposed,
        "gradable": quality.gradable,
        "jpeg": encode(found.canvas, quality=recipe.jpeg_quality),
    }


def _refused(error: UnreadableImageError) -> dict[str, Any]:
    return {"reason": error.reason, "message": error.message}
