"""Scores of a model for the images of a manifest: its test sets and its validation patients."""

import functools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raydr import storage
from raydr.config.images import DataSettings
from raydr.config.jobs import EvaluateSettings
from raydr.data.manifest import grades_of, read_manifest, rows_where, summary
from raydr.data.shards import photograph_facts
from raydr.data.sources import EXAMS_SCHEMA
from raydr.engine.package import read_description
from raydr.errors import InputError
from raydr.inference.scoring import score_images
from raydr.workflows.cluster import connected
from raydr.workflows.model_facts import facts_of_folder
from raydr.workflows.models import FETCHED, on_every_node
from raydr.workflows.pictures import picture_table
from raydr.workflows.placement import placement_of
from raydr.workflows.scored import Scored, described

_EXAMS = "exams.parquet"


def inputs_of(data: DataSettings, folder: str) -> dict[str, str]:
    """URIs of what is read, by name."""
    inputs = {"manifest": data.manifest, "model": folder}
    if data.shards is not None:
        inputs["shards"] = data.shards
    exams = _beside(data.manifest, _EXAMS)
    return {**inputs, "exams": exams} if storage.exists(exams) else inputs


def score_model(settings: EvaluateSettings, data: DataSettings, folder: str) -> Scored:
    """Scores of every image of the test sets that has a grade, a graded exam or is ungradable, then of validation's.

    Raises:
        InputError: No such images, or files that are not what they should be.
    """
    manifest = read_manifest(data.manifest)
    exams = read_exams(data.manifest)
    referable = exam_referable(manifest, exams)
    tests = test_rows(manifest, settings.datasets, data.manifest, referable=referable)
    validation = rows_where(manifest, split="val")
    rows = np.concatenate([tests, validation[grades_of(manifest)[validation] >= 0]])
    chosen = manifest.take(rows)
    copy = storage.join(storage.absolute(settings.out), FETCHED)
    with on_every_node(settings.model or folder, folder, copy) as reachable, connected(settings.cluster):
        scores = score_images(
            chosen.select(["image_id", "uri"]),
            reachable,
            shards=data.shards,
            batch_size=settings.batch_size,
            placement=placement_of(settings.cluster),
        )
    quality = camera = None
    if data.shards is not None:
        facts = photograph_facts(data.shards, chosen["image_id"], ["focus", "width_px", "height_px"])
        quality, camera = facts["focus"], _sizes(facts)
    table = described(scores, chosen, quality=quality, camera=camera, exam_referable=referable.take(pa.array(rows)))
    description = read_description(folder)
    return Scored(
        table,
        description.thresholds,
        summary(manifest),
        about=facts_of_folder(description),
        show=functools.partial(picture_table, table.slice(0, len(tests)), folder=folder, shards=data.shards),
    )


def test_rows(
    manifest: pa.Table, wanted: tuple[str, ...] | None, where: str, *, referable: pa.Array
) -> NDArray[np.int64]:
    """The rows of the internal test sets, then of the external ones, that something can be said of.

    Those are images with a grade, images of a graded exam, and ungradable ones beside either.

    Args:
        manifest: Every image.
        wanted: Names of data sets; None takes all.
        where: The manifest's name in messages.
        referable: For each row whether its exam is, null where that is not graded.

    Raises:
        InputError: A wanted data set is not there, or there is none at all.
    """
    has_truth = (grades_of(manifest) >= 0) | referable.is_valid().to_numpy(zero_copy_only=False)
    is_refused = pc.fill_null(pc.invert(manifest["gradable"]), False).to_numpy()  # noqa: FBT003  # pyarrow's own
    found: dict[str, list[NDArray[np.int64]]] = {}
    for split in ("test", "external"):
        for name in pc.unique(manifest["dataset"]).to_pylist():
            rows = rows_where(manifest, split=split, dataset=name)
            if has_truth[rows].any():
                found.setdefault(name, []).append(rows[has_truth[rows] | is_refused[rows]])
    missing = [name for name in wanted or () if name not in found]
    if missing:
        allowed = ", ".join(found) or "none"
        raise InputError(f"{where}: datasets: {missing[0]!r} has no graded test image; allowed: {allowed}")
    if not found:
        raise InputError(f"{where}: split: no graded image is in a test or external split")
    chosen = [rows for name, parts in found.items() if wanted is None or name in wanted for rows in parts]
    return np.concatenate(chosen)


def read_exams(manifest: str) -> pa.Table:
    """`exams.parquet` beside a manifest, an empty table where there is none.

    Raises:
        InputError: It is there and cannot be read as such a table.
    """
    uri = _beside(manifest, _EXAMS)
    if not storage.exists(uri):
        return EXAMS_SCHEMA.empty_table()
    try:
        return storage.read_table(uri).select(EXAMS_SCHEMA.names).cast(EXAMS_SCHEMA)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise InputError(f"{uri}: cannot be read as the exams of `index`: {storage.cause_of(error)}") from None


def exam_referable(manifest: pa.Table, exams: pa.Table) -> pa.Array:
    """For each row whether its exam is referable, null where that has no reference standard."""
    keys = zip(exams["dataset"].to_pylist(), exams["exam_id"].to_pylist(), strict=True)
    known = dict(zip(keys, exams["referable"].to_pylist(), strict=True))
    wanted = zip(manifest["dataset"].to_pylist(), manifest["exam_id"].to_pylist(), strict=True)
    return pa.array([known.get(key) for key in wanted], pa.bool_())


def _sizes(facts: pa.Table) -> pa.ChunkedArray:
    """The originals' sizes, which tell cameras apart, as text."""
    width, height = (pc.cast(facts[name], pa.string()) for name in ("width_px", "height_px"))
    return pc.binary_join_element_wise(width, height, " × ")


def _beside(uri: str, name: str) -> str:
    return storage.join(storage.absolute(uri).rpartition("/")[0], name)
