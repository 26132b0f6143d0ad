"""Scores of any number of photographs under a trained model, one row each whatever happens to it."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
import torch
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy

from raydr import storage
from raydr.data.blocks import ColumnBatch, DecodeRoom, chunk_sizes, map_chunks
from raydr.data.decoding import decode_with_errors
from raydr.data.nodes import alive_nodes
from raydr.data.shards import quarantined
from raydr.data.streams import stream_shards
from raydr.engine.package import NUM_OUTPUTS, load_model, read_description
from raydr.errors import InputError
from raydr.images.dihedral import dihedral_views
from raydr.images.preprocess import Preprocess
from raydr.models.classifier import grade_probabilities, referable_probability

NumViews = Literal[1, 2, 4, 8]
_SMALLEST_SHARE: Final = 1e-4  # of a CPU: Ray's own resolution


@dataclass(frozen=True, slots=True)
class Placement:
    """What scoring takes of the cluster: actors with the network, tasks that decode."""

    actors: int | None = None
    """At most; None takes what the GPUs, or half the CPUs, have room for."""
    cpus_per_actor: float = 1.0
    gpus_per_actor: float = 0.0
    decode_cpus: float = 1.0
    """CPUs one decoding task reserves."""


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
    folders = [storage.absolute(folder) for folder in ([model] if isinstance(model, str) else model)]
    description = read_description(folders[0])
    if description.head is None:
        raise InputError(f"{folders[0]}: is a backbone without a head; it scores nothing")
    place = _fitted(placement or Placement())
    images = _decoded_images(rows, shards, description.preprocess, place.decode_cpus)
    scored = images.map_batches(
        _Scorer,
        fn_constructor_args=(folders, num_views),
        batch_size=batch_size,
        compute=ActorPoolStrategy(min_size=1, max_size=place.actors),
        num_cpus=place.cpus_per_actor,
        num_gpus=place.gpus_per_actor,
    )
    logits = np.zeros((rows.num_rows, NUM_OUTPUTS[description.head]), dtype=np.float32)
    errors: list[str | None] = [None] * rows.num_rows
    times_seen = np.zeros(rows.num_rows, dtype=np.int64)
    for batch in scored.iter_batches(batch_size=None, batch_format="numpy"):
        if len(batch["row"]):
            logits[batch["row"]] = batch["logits"]
            np.add.at(times_seen, batch["row"], 1)
        for row, error in zip(batch["row"], batch["error"], strict=True):
            errors[row] = error or None
    if shards is not None:
        known = quarantined(shards)
        for row in np.flatnonzero(times_seen == 0):
            errors[row] = known[rows["image_id"][int(row)].as_py()]
            times_seen[row] = 1
    if not (times_seen == 1).all():
        raise RuntimeError(f"of {rows.num_rows} photographs {(times_seen != 1).sum()} were lost or scored twice")
    return _table(rows, logits, errors)


def _decoded_images(rows: pa.Table, shards: str | None, preprocess: Preprocess, cpus: float) -> ray.data.Dataset:
    if not rows.num_rows:
        raise InputError("images: there is none to score")
    numbers = pa.array(np.arange(rows.num_rows))
    if shards is None:
        table = pa.table({"row": numbers, "uri": rows["uri"]})
        decode = functools.partial(decode_with_errors, preprocess=preprocess)
        return map_chunks(table, decode, sizes=chunk_sizes(rows.num_rows), num_cpus=cpus)
    if pc.count_distinct(rows["image_id"]).as_py() != rows.num_rows:
        raise InputError(f"{shards}: image_id: an image stands in the rows more than once; in shards ids are unique")
    table = pa.table({"row": numbers, "image_id": rows["image_id"], "grade": numbers})
    return stream_shards(shards, table, preprocess=preprocess, room=DecodeRoom(cpus))


class _Scorer:
    """The networks in an actor."""

    def __init__(self, folders: Sequence[str], num_views: NumViews) -> None:
        models = [load_model(folder) for folder in folders]
        self._num_outputs = NUM_OUTPUTS[models[0].head]
        self._num_views = num_views
        self._device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
        self._networks = [model.network.to(self._device) for model in models]

    def __call__(self, batch: Mapping[str, NDArray[Any]]) -> ColumnBatch:
        errors = batch.get("error", np.full(len(batch["row"]), "", dtype=object))
        is_good = errors == ""
        logits = np.zeros((len(errors), self._num_outputs), dtype=np.float32)
        if is_good.any():
            logits[is_good] = self._logits(batch["image"][is_good])
        return {"row": batch["row"], "logits": logits, "error": errors}

    @torch.inference_mode()
    def _logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        image = torch.from_numpy(np.ascontiguousarray(images)).to(self._device).float().div_(255)
        views = dihedral_views(image, self._num_views)
        logits = torch.stack([network(view).float() for network in self._networks for view in views])
        return logits.mean(dim=0).cpu().numpy()


def _table(rows: pa.Table, logits: NDArray[np.float32], errors: list[str | None]) -> pa.Table:
    is_bad = np.array([error is not None for error in errors])
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
    columns["error"] = pa.array(errors, pa.string())
    return pa.table(columns)


def _fitted(placement: Placement) -> Placement:
    """``placement`` such that an actor and a decoding task run at the same time: else neither would ever end."""
    nodes = alive_nodes()
    cpus = [node.cpus for node in nodes]
    fitted = placement
    if sum(cpus):  # an autoscaling cluster may have no CPU yet
        actor, decode = fit_cpus(placement.cpus_per_actor, placement.decode_cpus, cpus)
        fitted = replace(placement, cpus_per_actor=actor, decode_cpus=decode)
    if fitted.actors is not None:
        return fitted
    gpus = sum(node.gpus for node in nodes)
    room = gpus / fitted.gpus_per_actor if fitted.gpus_per_actor else sum(cpus) / 2 / max(fitted.cpus_per_actor, 0.1)
    return replace(fitted, actors=max(1, int(room)))


def fit_cpus(actor: float, decode: float, nodes: list[float]) -> tuple[float, float]:
    """CPUs for an actor and for a decoding task that fit nodes of so many CPUs side by side, at most those wanted."""
    largest, total = max(nodes), sum(nodes)
    actor, decode = min(actor, largest), min(decode, largest)
    if actor + decode <= total:
        return actor, decode
    return _share(actor * total / (actor + decode)), _share(decode * total / (actor + decode))


def _share(cpus: float) -> float:
    """Rounded down to what Ray can reserve: whole CPUs, or a part of one."""
    return float(int(cpus)) if cpus >= 1 else int(cpus / _SMALLEST_SHARE) * _SMALLEST_SHARE
