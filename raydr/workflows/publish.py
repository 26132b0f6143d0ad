"""The end of a run: models into MLflow and its registry, the report, the run's figures."""

import datetime
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
import torch

from raydr import storage
from raydr.config.jobs import RunSettings
from raydr.config.show import as_toml
from raydr.engine.package import read_description
from raydr.metrics.comparison import AucDifference
from raydr.reporting.pictures import pictures_of
from raydr.reporting.report import Report
from raydr.reporting.report import Stage as ReportStage
from raydr.tracking.runs import Tracking
from raydr.tracking.store import without_credentials
from raydr.workflows.documents import software, title_of, write_documents
from raydr.workflows.job import Outcome
from raydr.workflows.model_facts import facts_of_student
from raydr.workflows.outcome import report_refits, report_trials
from raydr.workflows.pairing import pair_scores
from raydr.workflows.promotion import promote, score_champion, validation_scores
from raydr.workflows.registry import made_by, register
from raydr.workflows.result import StageResult
from raydr.workflows.scores import reread
from raydr.workflows.summary import interval, main_figure


@dataclass(frozen=True, slots=True)
class Chain:
    """The stages' results in their order, and the two models."""

    stages: Mapping[str, StageResult]
    teacher: str
    student: str


def publish(settings: RunSettings, out: str, chain: Chain, *, tracker: Tracking, run_id: str) -> Outcome:
    """Register the models, write the report and gather the run's figures."""
    auc = chain.stages["evaluate student"].metrics["auc"]
    teacher_auc = chain.stages["evaluate teacher"].metrics["auc"]
    documents = write_documents(functools.partial(storage.join, out), _report(settings, chain))
    tracker.log_files(run_id, list(documents.values()))
    registered = _register(settings, out, chain, tracker)
    metrics = {
        "auc": auc,
        "teacher_auc": teacher_auc,
        "val_auc": chain.stages["search"].metrics.get("val_auc"),
        "teacher_val_auc": chain.stages["finetune"].metrics.get("val_auc"),
        "stages": {name: result.seconds for name, result in chain.stages.items()},
        **registered,
    }
    artifacts = {"student": chain.student, "teacher": chain.teacher, **documents}
    logged = {
        f"{who}_auc{bound}.{name}": figures[key]
        for who, found in (("student", auc), ("teacher", teacher_auc))
        for name, figures in found.items()
        for bound, key in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
    return Outcome(metrics, artifacts, logged)


def _register(settings: RunSettings, out: str, chain: Chain, tracker: Tracking) -> dict[str, Any]:
    """Both models as MLflow models below their stages; the student's version may become the champion."""
    name, indexed = settings.tracking.registered_model, chain.stages["index"]
    splits = [f"{row['dataset']} {row['split']} ({row['images']})" for row in indexed.metrics["summary"]]
    found = {}
    versions: dict[str, str | None] = {}
    for who, stage, folder in (("teacher", "finetune", chain.teacher), ("student", "search", chain.student)):
        made, tested = chain.stages[stage], chain.stages[f"evaluate {who}"].metrics["auc"]
        tags = {
            **made_by(made.metrics, settings_digest=made.settings_digest, num_labels=indexed.metrics["num_budget"]),
            "raydr.datasets": ", ".join(splits),
            **{f"raydr.auc.{dataset}": interval(figures) for dataset, figures in tested.items()},
        }
        logged = register(tracker, made.mlflow_run_id, folder=folder, name=name, role=who, tags=tags)
        versions[who] = logged.version
        found[f"{who}_model"] = logged.uri
    version = versions["student"]
    if name is None or version is None:
        return {**found, "champion": False, "promotion": None}
    prepared = chain.stages.get("prepare")
    promotion = promote(
        tracker,
        name,
        version,
        margin=settings.tracking.promotion_margin,
        validation=validation_scores(chain.stages["evaluate student"].artifacts["scores"]),
        score=functools.partial(
            score_champion,
            settings,
            manifest=indexed.artifacts["manifest"],
            shards=None if prepared is None else prepared.artifacts["shards"],
            out=out,
        ),
    )
    return {**found, "champion": promotion.is_champion, "promotion": promotion.figures()}


def _report(settings: RunSettings, chain: Chain) -> Report:
    indexed, stages = chain.stages["index"].metrics, chain.stages
    budget = (
        f"{indexed['num_budget']} labelled training images, drawn by patient (digest {indexed['budget_digest'][:12]})"
    )
    pictures = stages["evaluate student"].artifacts.get("pictures")
    worst, highest = pictures_of(storage.read_table(pictures)) if pictures else ((), ())
    return Report(
        title=title_of(settings, "run"),
        created=datetime.datetime.now(datetime.UTC),
        models={
            who: reread(stages[f"evaluate {who}"], settings.evaluate, seed=settings.seed)
            for who in ("student", "teacher")
        },
        differences=_differences(stages["evaluate student"], stages["evaluate teacher"], level=settings.evaluate.level),
        internal=next((row["dataset"] for row in indexed["summary"] if row["split"] == "test"), ""),
        stages=[
            ReportStage(name, result.seconds, main_figure(result), is_up_to_date=result.up_to_date)
            for name, result in stages.items()
        ],
        trials=report_trials(stages["search"].metrics, epochs=settings.search.epochs),
        refits=report_refits(stages["search"].metrics),
        num_validation_patients=stages["search"].metrics["num_validation_patients"],
        curves={name: stages[name].metrics["history"] for name in ("pretrain", "finetune", "search")},
        data=indexed["summary"],
        budget=budget,
        audit=_audit(indexed),
        settings=without_credentials(as_toml(settings)),
        environment={**software(), "device of the driver": _device()},
        digests={
            "label budget": indexed["budget_digest"],
            **{name: result.settings_digest for name, result in stages.items()},
        },
        worst_errors=worst,
        highest_scored=highest,
        about=facts_of_student(read_description(chain.student), settings, num_labels=indexed["num_budget"]),
    )


def _differences(first: StageResult, second: StageResult, *, level: float) -> dict[str, AucDifference]:
    """The student's AUC less the teacher's on each data set, over the same patients."""
    tables = [storage.read_table(result.artifacts["scores"]) for result in (first, second)]
    tested = [table.filter(pc.not_equal(table["split"], "val")) for table in tables]
    scores = pair_scores(*tested, names=(first.artifacts["scores"], second.artifacts["scores"])).scores
    return {name: scores.of(name).difference(level=level) for name in dict.fromkeys(scores.dataset.tolist())}


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def _audit(indexed: Mapping[str, Any]) -> list[str]:
    near = indexed["num_near_identical_images"]
    return [
        f"patients in more than one split: {indexed['num_shared_patients']}",
        f"byte-identical files in different splits or datasets: {indexed['num_identical_files']}",
        f"near-identical images in different splits or datasets: {'not looked for' if near is None else near}",
        f"files that cannot be read: {indexed['num_unreadable']}",
        f"labels without an image that were left out: {indexed['num_dropped_labels']}",
    ]
