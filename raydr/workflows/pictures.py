"""The photographs of an evaluation's report: read again, made small, with what the network sees in them."""

import functools
import math
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from raydr.data.photographs import decoded
from raydr.data.shards import find_images, read_jpegs
from raydr.engine.heatmap import heat_map, overlay
from raydr.engine.package import LoadedModel, load_model
from raydr.errors import InputError
from raydr.images.jpeg import UnreadableImageError, decode, encode
from raydr.images.preprocess import Preprocess
from raydr.reporting.pictures import PICTURES, choose_pictures, reduced


def picture_table(
    scores: pa.Table, thresholds: Mapping[str, float], *, folder: str, shards: str | None = None
) -> pa.Table:
    """The photographs to show of a table of scores, as `raydr.reporting.pictures.PICTURES`.

    One that can no longer be read is left out, and so is a heat map where the backbone has no map of features.

    Args:
        scores: ``image_id``, ``image`` (its URI), ``dataset``, ``grade``, ``probability`` of the test images.
        thresholds: The model's operating points; Youden's, or else 0.5, says what is an error.
        folder: The model's.
        shards: Folder of `prepare` to read instead of the photographs.
    """
    probability = scores["probability"].to_numpy().astype(np.float64)
    youden = thresholds.get("youden", math.nan)
    chosen = choose_pictures(
        scores["grade"].to_numpy(), probability, threshold=youden if math.isfinite(youden) else 0.5
    )
    rows = sorted({row for kind in chosen.values() for row in kind})
    model = load_model(folder)
    wanted = scores.select(["image_id", "image"]).take(pa.array(rows, pa.int64()))
    made = {rows[place]: _drawn(picture, model) for place, picture in _pictures(wanted, model.preprocess, shards)}
    columns = scores.select(["image_id", "dataset", "grade", "probability"])
    shown = [
        {"kind": kind, **columns.slice(row, 1).to_pylist()[0], **made[row]}
        for kind, found in chosen.items()
        for row in found
        if row in made
    ]
    return pa.Table.from_pylist(shown, schema=PICTURES)


def _pictures(wanted: pa.Table, preprocess: Preprocess, shards: str | None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The network's input [S, S, 3] of each readable photograph, with its place in ``wanted``."""
    if not wanted.num_rows:
        return
    if shards is None:
        for place, picture in enumerate(decoded(wanted["image"].to_pylist(), preprocess)):
            if not isinstance(picture, UnreadableImageError):
                yield place, picture
        return
    found = find_images(shards, wanted["image_id"].combine_chunks()).groups
    parts, groups, places, numbers = (found[name].to_pylist() for name in ("part", "group", "places", "wanted"))
    stored = [
        {"part": part, "group": group, "place": place, "wanted": number}
        for part, group, within, wants in zip(parts, groups, places, numbers, strict=True)
        for place, number in zip(within, wants, strict=True)
    ]
    read = functools.partial(decode, min_side_px=preprocess.canvas_px)
    for row, jpeg in zip(stored, read_jpegs(pa.Table.from_pylist(stored)) if stored else (), strict=True):
        yield row["wanted"], preprocess.finish(read(jpeg))


def _drawn(picture: NDArray[np.uint8], model: LoadedModel) -> dict[str, bytes | None]:
    small = reduced(picture)
    image = torch.from_numpy(picture.transpose(2, 0, 1).copy()).float().div_(255)
    try:
        heat = heat_map(model.network, image)
    except InputError:
        return {"thumbnail": encode(small), "heat_map": None}
    return {"thumbnail": encode(small), "heat_map": overlay(small, reduced(heat))}
