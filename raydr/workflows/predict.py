"""`raydr predict`: the probability of referable retinopathy for new photographs."""

import hashlib
import time

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import torch

from raydr import storage
from raydr.config.jobs import PredictSettings
from raydr.engine.heatmap import heat_map
from raydr.engine.package import load_model
from raydr.inference.listing import list_images
from raydr.inference.score_parts import VERSION, ScoreParts, versions
from raydr.inference.scoring import stream_scores
from raydr.workflows.cluster import connected
from raydr.workflows.console import say
from raydr.workflows.job import Outcome, Stage, check_free, perform
from raydr.workflows.models import FETCHED, model_folder, on_every_node
from raydr.workflows.placement import placement_of
from raydr.workflows.result import StageResult, beside

PARTS, HEAT_MAPS = "parts", "heat_maps"


def predict(settings: PredictSettings) -> StageResult:
    """The result of a prediction; its artifact `scores` has one row a photograph, unreadable ones with an error.

    What is scored lies in parts beside `out` until all of it is, so that a prediction that was cut off goes on.
    """
    folder = model_folder(settings.model, settings)
    listed = list_images(settings.images)
    photographs = listed.append_column(VERSION, versions(listed["uri"].to_pylist()))
    scores = storage.absolute(settings.out)
    heat_maps = beside(scores, HEAT_MAPS) if settings.heat_maps else None
    check_free(scores, PARTS, HEAT_MAPS, FETCHED)

    def body(stage: Stage) -> Outcome:
        if heat_maps is not None:
            _check_heat_map(folder)
            storage.delete_unfinished(heat_maps)  # a folder of pictures holds nothing else
        parts = ScoreParts(beside(scores, PARTS), f"{stage.inputs['model']} {heat_maps}")
        missing = parts.missing(photographs)
        num_kept = photographs.num_rows - missing.num_rows
        if num_kept:
            say(f"  {num_kept} of {photographs.num_rows} photographs were scored before")
        started = time.perf_counter()
        if missing.num_rows:
            _score(settings, missing, folder=folder, parts=parts, heat_maps=heat_maps)
        seconds = time.perf_counter() - started
        table = parts.gathered(photographs)
        _write(scores, table)
        num_failed = table.num_rows - pc.count(table["probability"]).as_py()
        say(f"  {table.num_rows} photographs scored, {num_failed} of them unreadable (column error): {scores}")
        figures = {"num_images": table.num_rows, "num_failed": num_failed, "num_scored_before": num_kept}
        if missing.num_rows:
            figures["images_per_s"] = round(missing.num_rows / seconds, 2)
        artifacts = {"scores": scores}
        if heat_maps is not None and num_failed < table.num_rows:
            artifacts["heat_maps"] = heat_maps
        return Outcome(figures, artifacts, figures)

    result = perform(
        settings,
        "predict",
        inputs={"model": folder},
        digests={"images": _digest(photographs)},
        pipeline=None,
        body=body,
    )
    storage.delete_folder(beside(scores, PARTS))  # not before the result stands
    return result


def _score(settings: PredictSettings, rows: pa.Table, *, folder: str, parts: ScoreParts, heat_maps: str | None) -> None:
    started = time.perf_counter()

    def tell(num_done: int) -> None:
        say(f"  {num_done} of {rows.num_rows} photographs, {num_done / (time.perf_counter() - started):.0f}/s")

    copy = beside(storage.absolute(settings.out), FETCHED)
    with on_every_node(settings.model, folder, copy) as reachable, connected(settings.cluster):
        scored = stream_scores(
            rows,
            reachable,
            batch_size=settings.batch_size,
            placement=placement_of(settings.cluster),
            heat_maps=heat_maps,
        )
        parts.write(rows, scored, rows_per_part=settings.images_per_part, heat_maps=heat_maps, on_part=tell)


def _check_heat_map(folder: str) -> None:
    """Raise InputError where the model can draw none, before any photograph is scored."""
    model = load_model(folder)
    side = model.preprocess.side_px
    heat_map(model.network, torch.full((3, side, side), 0.5))


def _write(uri: str, table: pa.Table) -> None:
    if uri.endswith(".parquet"):
        storage.write_table(uri, table)
        return
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, sink)
    storage.write_bytes(uri, sink.getvalue().to_pybytes())


def _digest(photographs: pa.Table) -> str:
    """Names, sizes and times of the photographs: a changed picture is scored again."""
    lines = [f"{row['uri']} {row[VERSION]}" for row in photographs.select(["uri", VERSION]).to_pylist()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
