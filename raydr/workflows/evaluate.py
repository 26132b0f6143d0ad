"""`raydr evaluate`: one model on its test sets, with intervals, at thresholds from the validation patients."""

import datetime
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raydr import storage
from raydr.config.jobs import EvaluateSettings
from raydr.config.stages import EvaluateStage
from raydr.data.manifest import grades_of, patients_of, read_manifest, rows_where, summary
from raydr.engine.package import read_description
from raydr.errors import InputError
from raydr.grades import REFERABLE_GRADE
from raydr.inference.scoring import score_images
from raydr.metrics.evaluation import as_json
from raydr.metrics.operating import OperatingPoint, choose_thresholds
from raydr.reporting.report import Report, write_report
from raydr.workflows.cluster import connected
from raydr.workflows.console import say
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.models import model_folder
from raydr.workflows.placement import placement_of
from raydr.workflows.result import StageResult
from raydr.workflows.scores import evaluate_scores
from raydr.workflows.sections import section

_AUC_FIELDS = ("value", "low", "high", "level", "num_images", "num_patients", "num_positive")
_FILES = {"scores": "scores.parquet", "evaluation": "evaluation.json", "report": "report.html"}


def evaluate(settings: EvaluateSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of an evaluation; its artifacts are `scores`, `evaluation` and `report`."""
    folder = model_folder(settings.model, settings)

    def body(stage: Stage) -> Outcome:
        manifest = read_manifest(settings.data.manifest)
        tests = test_rows(manifest, settings.datasets, settings.data.manifest)
        thresholds = dict(read_description(folder).thresholds)
        validation = np.empty(0, np.int64) if thresholds else _graded(manifest, rows_where(manifest, split="val"))
        scores = _score(settings, manifest, np.concatenate([tests, validation]), folder=folder)
        if not thresholds:
            thresholds = _choose(scores.slice(len(tests)))
        points = [OperatingPoint(name, value) for name, value in thresholds.items()]
        tested = scores.slice(0, len(tests))
        evaluations = evaluate_scores(tested, points, section(EvaluateStage, settings), seed=settings.seed)
        for found in evaluations:
            say(f"  {found.name}: AUC {found.auc}, {found.auc.num_images} images, {found.auc.num_patients} patients")
        artifacts = {name: stage.path(file) for name, file in _FILES.items()}
        storage.write_table(artifacts["scores"], scores)
        figures = {found.name: as_json(found) for found in evaluations}
        storage.write_bytes(artifacts["evaluation"], json.dumps(figures, indent=2).encode())
        report = Report(
            title="raydr evaluation",
            created=datetime.datetime.now(datetime.UTC),
            models={"model": evaluations},
            data=summary(manifest),
            digests=dict(stage.inputs),
        )
        write_report(artifacts["report"], report)
        stage.tracker.log_files(stage.run_id, [artifacts["evaluation"], artifacts["report"]])
        auc = {name: {key: found["auc"][key] for key in _AUC_FIELDS} for name, found in figures.items()}
        kappa = {found.name: found.kappa for found in evaluations if found.kappa is not None}
        logged = {
            **{f"auc_{key}.{name}": found[key] for name, found in auc.items() for key in _AUC_FIELDS[:3]},
            **{f"quadratic_kappa.{name}": value for name, value in kappa.items()},
        }
        return Outcome({"auc": auc, "kappa": kappa, "operating_points": thresholds}, artifacts, _numbers(logged))

    inputs = {"manifest": settings.data.manifest, "model": folder}
    if settings.data.shards is not None:
        inputs["shards"] = settings.data.shards
    return perform(settings, "evaluate", inputs=inputs, pipeline=pipeline, body=body)


def test_rows(manifest: pa.Table, wanted: tuple[str, ...] | None, where: str) -> NDArray[np.int64]:
    """The graded rows of the internal test sets, then of the external ones.

    Raises:
        InputError: A wanted data set is not there, or there is none at all.
    """
    found: dict[str, NDArray[np.int64]] = {}
    names = pc.unique(manifest["dataset"]).to_pylist()
    for split in ("test", "external"):
        for name in names:
            rows = _graded(manifest, rows_where(manifest, split=split, dataset=name))
            if len(rows):
                found[name] = rows
    missing = [name for name in wanted or () if name not in found]
    if missing:
        allowed = ", ".join(found) or "none"
        raise InputError(f"{where}: datasets: {missing[0]!r} has no graded test image; allowed: {allowed}")
    if not found:
        raise InputError(f"{where}: split: no graded image is in a test or external split")
    return np.concatenate([rows for name, rows in found.items() if wanted is None or name in wanted])


def _score(settings: EvaluateSettings, manifest: pa.Table, rows: NDArray[np.int64], *, folder: str) -> pa.Table:
    chosen = manifest.take(rows)
    with connected(settings.cluster):
        table = score_images(
            chosen.select(["image_id", "uri"]),
            folder,
            shards=settings.data.shards,
            batch_size=settings.batch_size,
            placement=placement_of(settings.cluster),
        )
    columns = {
        "dataset": chosen["dataset"],
        "split": chosen["split"],
        "patient": pa.array(patients_of(manifest)[rows].tolist(), pa.string()),
        "eye": chosen["eye"],
        "grade": pa.array(grades_of(manifest)[rows]),
    }
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


def _choose(validation: pa.Table) -> dict[str, float]:
    """Operating points of a model that brought none."""
    readable = validation.filter(pc.is_valid(validation["probability"]))
    if not readable.num_rows:
        return {}
    truth, scores = readable["grade"].to_numpy() >= REFERABLE_GRADE, readable["probability"].to_numpy()
    return choose_thresholds(truth, scores)


def _graded(manifest: pa.Table, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[grades_of(manifest)[rows] >= 0]


def _numbers(figures: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value is not None}
