"""What the three learning verbs share: rows, datasets, orders, a training on the cluster, its result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray.data

from raydr import storage
from raydr.build import check_method
from raydr.config.images import DataSettings
from raydr.config.jobs import Job
from raydr.config.stages import DistillStage, FinetuneStage, PretrainStage
from raydr.engine.package import Head
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.learning.validation import STANDARD_ERROR, VALIDATION_AUC
from raydr.models.backbone import check_backbone
from raydr.training.trainer import TrainingResult, train
from raydr.training.worker import LABELLED, STREAM, VALIDATION, Loop, Work
from raydr.workflows.cluster import connected
from raydr.workflows.console import epoch_text, say
from raydr.workflows.images import Rows, Stream, dataset, rows_of, training_stream, validation_patients
from raydr.workflows.job import RAY_FOLDER, Outcome, Stage
from raydr.workflows.live import LiveLine


def inputs_of(data: DataSettings, **models: str | None) -> dict[str, str]:
    """The URIs that a learning stage reads, by name."""
    found = {"manifest": data.manifest, "budget": data.budget, "shards": data.shards, **models}
    return {name: uri for name, uri in found.items() if uri is not None}


def model_input(weights: str) -> str | None:
    """The folder or file that a backbone starts from, None where it starts from nothing or from published weights."""
    return None if weights in ("none", "timm") else weights


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is to be learned: which loop, with which settings, from which images."""

    loop: Loop
    section: PretrainStage | FinetuneStage | DistillStage
    data: DataSettings
    preprocess: Preprocess
    teacher_logits: str | None = None
    head: Head | None = None


def learn(stage: Stage, settings: Job, lesson: Lesson) -> Outcome:
    """Train on the cluster and describe what came of it."""
    loop, data, preprocess = lesson.loop, lesson.data, lesson.preprocess
    if isinstance(lesson.section, PretrainStage):
        check_method(lesson.section.model, lesson.section.method)
    else:
        check_backbone(lesson.section.model.backbone, "model.backbone")
    rows = rows_of(data)
    if loop == "finetune" and not len(rows.labelled):
        raise InputError(f"{data.budget or 'data.budget'}: no label to learn from; `index` writes budget.parquet")
    model_folder = stage.path("model")
    orders_settings = lesson.section.model_dump(mode="json")
    if (weights := orders_settings["model"]["weights"]) not in ("none", "timm"):
        orders_settings["model"]["weights"] = storage.absolute(weights)
    minutes = settings.cluster.save_every_minutes
    with connected(settings.cluster):
        datasets = _whole_datasets(rows, data=data, preprocess=preprocess, settings=settings)
        whole = tuple(datasets)
        stream = None if loop == "finetune" else _stream(rows, data=data, preprocess=preprocess, settings=settings)
        if stream is not None:
            datasets[STREAM] = stream.dataset
        orders = Work(
            loop=loop,
            settings=orders_settings,
            assignment=Assignment(
                preprocess=preprocess,
                model_folder=model_folder,
                seed=settings.seed,
                settings_digest=stage.identity,
                provenance={**stage.inputs, "settings": stage.settings_digest, "mlflow_run_id": stage.run_id},
                patients=validation_patients(rows),
                save_every_steps=settings.cluster.save_every_steps,
                save_every_s=None if minutes is None else 60 * minutes,
            ),
            num_streamed=0 if stream is None else stream.num_images,
            clock=None if stream is None or stream.clock is None else stream.clock.name,
            whole=whole,
            threads=settings.cluster.threads_per_worker,
            teacher_logits=lesson.teacher_logits,
            head=lesson.head,
        )

        result = _train(stage, settings, orders, datasets, epochs=lesson.section.optim.epochs)
    recorded = stage.tracker.steps_of(stage.run_id, "loss")
    for metrics in result.history:  # epochs that were saved just before a driver was killed
        if int(metrics["epoch"]) not in recorded:
            _log_epoch(stage, metrics)
    return _outcome(result, model_folder=model_folder, rows=rows)


def _train(
    stage: Stage, settings: Job, orders: Work, datasets: Mapping[str, ray.data.Dataset], *, epochs: int
) -> TrainingResult:
    """The training, with its epochs and its figures of the moment on the screen and in MLflow."""

    def record(figures: Mapping[str, float], step: int) -> None:
        stage.tracker.log_metrics(stage.run_id, figures, step=step)

    live = LiveLine(orders.loop, epochs=epochs, record=record)

    def on_epoch(metrics: Mapping[str, float]) -> None:
        live.say(epoch_text(orders.loop, metrics, epochs=epochs))
        _log_epoch(stage, metrics)

    try:
        return train(
            orders,
            datasets,
            settings.cluster,
            folder=stage.path(RAY_FOLDER),
            name=f"{orders.loop}-{stage.name}",
            on_epoch=on_epoch,
            on_figures=live.show,
            on_line=lambda text: live.say(f"  {orders.loop}: {text}"),
        )
    finally:
        live.close()


def _log_epoch(stage: Stage, metrics: Mapping[str, float]) -> None:
    figures = {name: value for name, value in metrics.items() if name != "epoch"}
    stage.tracker.log_metrics(stage.run_id, figures, step=int(metrics["epoch"]))


def _whole_datasets(
    rows: Rows, *, data: DataSettings, preprocess: Preprocess, settings: Job
) -> dict[str, ray.data.Dataset]:
    found: dict[str, ray.data.Dataset] = {}
    for name, chosen in ((LABELLED, rows.labelled), (VALIDATION, rows.validation)):
        if len(chosen):
            lazy = dataset(data, rows.manifest, chosen, preprocess=preprocess, cluster=settings.cluster, graded=True)
            found[name] = lazy.materialize()
    return found


def _stream(rows: Rows, *, data: DataSettings, preprocess: Preprocess, settings: Job) -> Stream:
    stream = training_stream(data, rows, preprocess=preprocess, cluster=settings.cluster, seed=settings.seed)
    if lost := len(rows.train) - stream.num_images:
        say(f"  {lost} of {len(rows.train)} training images cannot be read and are left out; `prepare` lists them")
    return stream


def _outcome(result: TrainingResult, *, model_folder: str, rows: Rows) -> Outcome:
    last = result.history[-1] if result.history else {}
    metrics: dict[str, Any] = {
        "epochs": len(result.history),
        "num_train": len(rows.train),
        "num_labelled": len(rows.labelled),
        "num_validation": len(rows.validation),
        **{name: value for name, value in last.items() if name not in ("epoch", "seconds")},
    }
    logged = {}
    if result.best_value is not None and result.best_epoch is not None:
        error = result.history[result.best_epoch].get(STANDARD_ERROR)
        metrics |= {VALIDATION_AUC: result.best_value, STANDARD_ERROR: error, "best_epoch": result.best_epoch + 1}
        logged = {"best_val_auc": result.best_value, **({} if error is None else {"best_val_auc_se": error})}
    metrics["history"] = result.history
    return Outcome(metrics, {"model": model_folder}, logged)
