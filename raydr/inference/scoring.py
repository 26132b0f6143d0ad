"""Scores of any number of photographs under a trained model, one row each whatever happens to it."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data
import torch
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy

from raydr import storage
from raydr.data.blocks import DecodeRoom, chunk_sizes, map_chunks
from raydr.data.decoding import decode_with_errors
from raydr.data.order import in_order
from raydr.data.shards import quarantined
from raydr.data.streams import stream_shards
from raydr.engine.package import read_description
from raydr.errors import InputError
from raydr.images.dihedral import NumViews
from raydr.images.preprocess import Preprocess
from raydr.inference.placement import Placement, fitted
from raydr.inference.scorer import Scorer, heat_map_name
from raydr.models.classifier import grade_probabilities, referable_probability


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """What came of some of the rows."""

    row: NDArray[np.int64]
    logits: NDArray[np.float32]
    """[n, outputs]."""
    error: NDArray[Any]
    """Empty where all went well."""


def score_images(
    rows: pa.Table,
    model: str | Sequence[str],
    *,
    shards: str | None = None,
    num_views: NumViews = 1,
    batch_size: int = 64,
    placement: Placement | None = None,
) -> pa.Table:
    """A table with exactly one row for each of ``rows`` (``image_id``, ``uri``), in their order.

    Columns: ``image`` (the URI), ``image_id``, ``probability`` of referable retinopathy, ``grade_0`` … ``grade_4``
    where the model knows grades, ``logits`` (mean over models and views), ``error`` (`reason: message`; null where all
    went well, and otherwise the others are).

    Args:
        rows: The photographs; ``image_id`` must be unique where they come out of shards.
        model: Folder that every node can reach, or several of one head and one preprocessing, which are averaged.
        shards: Folder of `prepare` to read instead of the photographs.
        num_views: Views over which the logits are averaged (1, 2, 4 or 8, `raydr.images.dihedral`).
        batch_size: Images the network gets at once.
        placement: Shrunk where an actor and a decoding task do not both fit the cluster.

    Raises:
        InputError: No model there; shards that were made otherwise than the model's preprocessing says.
    """
    batches = stream_scores(rows, model, shards=shards, num_views=num_views, batch_size=batch_size, placement=placement)
    logits: NDArray[np.float32] | None = None
    errors: list[str | None] = [None] * rows.num_rows
    times_seen = np.zeros(rows.num_rows, dtype=np.int64)
    for batch in batches:
        if logits is None:
            logits = np.zeros((rows.num_rows, batch.logits.shape[1]), dtype=np.float32)
        logits[batch.row] = batch.logits
        np.add.at(times_seen, batch.row, 1)
        for row, error in zip(batch.row, batch.error, strict=True):
            errors[row] = error or None
    if shards is not None:
        known = quarantined(shards)
        for row in np.flatnonzero(times_seen == 0):
            errors[row] = known[rows["image_id"][int(row)].as_py()]
            times_seen[row] = 1
    if logits is None or not (times_seen == 1).all():
        raise RuntimeError(f"of {rows.num_rows} photographs {(times_seen != 1).sum()} were lost or scored twice")
    return score_table(rows, logits, errors)


def stream_scores(
    rows: pa.Table,
    model: str | Sequence[str],
    *,
    shards: str | None = None,
    num_views: NumViews = 1,
    batch_size: int = 64,
    placement: Placement | None = None,
    heat_maps: str | None = None,
) -> Iterator[ScoredRows]:
    """What `score_images` gathers, as it comes: photographs in the order of ``rows``, shards in their own.

    Args:
        rows: As the others, of `score_images`.
        model: Likewise.
        shards: Likewise.
        num_views: Likewise.
        batch_size: Likewise.
        placement: Likewise.
        heat_maps: Folder for every photograph's heat map over the picture, under its `heat_map_name`.
    """
    if not rows.num_rows:
        raise InputError("images: there is none to score")
    folders = [storage.absolute(folder) for folder in ([model] if isinstance(model, str) else model)]
    description = read_description(folders[0])
    if description.head is None:
        raise InputError(f"{folders[0]}: is a backbone without a head; it scores nothing")
    place = fitted(placement or Placement(), num_images=rows.num_rows, are_photographs=shards is None)
    images = _images(rows, shards, description.preprocess, place.decode_cpus)
    scored = images.map_batches(
        Scorer,
        fn_constructor_args=(folders, num_views, batch_size, heat_maps),
        batch_size=batch_size if place.decode_cpus else None,  # what an actor decodes for itself comes in chunks
        compute=ActorPoolStrategy(min_size=1, max_size=place.actors, initial_size=place.actors),
        num_cpus=place.cpus_per_actor,
        num_gpus=place.gpus_per_actor,
    )
    for batch in scored.iter_batches(batch_size=None, batch_format="numpy"):
        if len(batch["row"]):
            yield ScoredRows(batch["row"], batch["logits"], batch["error"])


def score_table(
    rows: pa.Table, logits: NDArray[np.float32], errors: Sequence[str | None], *, heat_maps: str | None = None
) -> pa.Table:
    """The table that `score_images` describes; with ``heat_maps`` there is a column ``heat_map`` of their URIs."""
    is_bad = np.array([error is not None for error in errors], dtype=bool)
    found = torch.from_numpy(logits)
    columns = {
        "image": rows["uri"],
        "image_id": rows["image_id"],
        "probability": pa.array(referable_probability(found).double().numpy(), pa.float64(), mask=is_bad),
    }
    grades = grade_probabilities(found)
    if grades is not None:
        for grade, values in enumerate(grades.double().numpy().T):
            columns[f"grade_{grade}"] = pa.array(values.copy(), pa.float64(), mask=is_bad)
    values = [None if bad else row for row, bad in zip(logits.tolist(), is_bad, strict=True)]
    columns["logits"] = pa.array(values, pa.list_(pa.float32()))
    if heat_maps is not None:
        drawn = [storage.join(heat_maps, heat_map_name(uri)) for uri in rows["uri"].to_pylist()]
        columns["heat_map"] = pa.array(drawn, pa.string(), mask=is_bad)
    columns["error"] = pa.array(errors, pa.string())
    return pa.table(columns)


def _images(rows: pa.Table, shards: str | None, preprocess: Preprocess, decode_cpus: float) -> ray.data.Dataset:
    """Decoded pictures, or where decoding gets no CPUs the photographs' URIs."""
    numbers = pa.array(np.arange(rows.num_rows))
    if shards is not None:
        if pc.count_distinct(rows["image_id"]).as_py() != rows.num_rows:
            raise InputError(
                f"{shards}: image_id: an image stands in the rows more than once; in shards ids are unique"
            )
        table = pa.table({"row": numbers, "image_id": rows["image_id"], "grade": numbers})
        return stream_shards(shards, table, preprocess=preprocess, room=DecodeRoom(decode_cpus))
    table = pa.table({"row": numbers, "uri": rows["uri"]})
    sizes = chunk_sizes(rows.num_rows)
    if decode_cpus:
        decode = functools.partial(decode_with_errors, preprocess=preprocess)
        return map_chunks(table, decode, sizes=sizes, num_cpus=decode_cpus)
    dataset: ray.data.Dataset = ray.data.from_blocks([table.take(chunk) for chunk in in_order(0, sizes=sizes)])
    dataset.context.execution_options.preserve_order = True
    return dataset
