"""What the three learning verbs share: rows, datasets, orders, a training on the cluster, its result."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray.data

from raydr import storage
from raydr.build import check_method
from raydr.config.images import DataSettings
from raydr.config.jobs import Job
from raydr.config.stages import DistillStage, FinetuneStage, PretrainStage
from raydr.data.manifest import fellows_of
from raydr.engine.package import DESCRIPTION, read_description
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.learning.validation import STANDARD_ERROR, VALIDATION_AUC
from raydr.models.backbone import check_backbone
from raydr.training.teacher import Teacher
from raydr.training.trainer import TrainingResult, train
from raydr.training.worker import LABELLED, STREAM, VALIDATION, Loop, Work
from raydr.workflows.console import epoch_text, say
from raydr.workflows.images import Rows, Stream, dataset, rows_of, training_stream, validation_patients
from raydr.workflows.job import RAY_FOLDER, Outcome, Stage
from raydr.workflows.live import LiveLine
from raydr.workflows.preflight import ready


def inputs_of(data: DataSettings, **models: str | None) -> dict[str, str]:
    """The URIs that a learning stage reads, by name."""
    found = {"manifest": data.manifest, "budget": data.budget, "shards": data.shards, **models}
    return {name: uri for name, uri in found.items() if uri is not None}


def model_input(weights: str) -> str | None:
    """The folder or file that a backbone starts from, None where it starts from nothing or from published weights."""
    return None if weights in ("none", "timm") else weights


def check_start(key: str, backbone: str, weights: str) -> None:
    """Raise InputError, naming ``key``, for a backbone that timm does not know or cannot start from the weights."""
    check_backbone(backbone, key)
    folder = model_input(weights)
    if folder is None or not storage.exists(storage.join(folder, DESCRIPTION)):
        return
    if (found := read_description(folder).backbone) != backbone:
        raise InputError(f"{key}: {folder} is a {found!r}, from which a {backbone!r} cannot start; see model.weights")


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is to be learned: which loop, with which settings, from which images."""

    loop: Loop
    section: PretrainStage | FinetuneStage | DistillStage
    data: DataSettings
    preprocess: Preprocess
    teacher: Teacher | None = None
    model: str = "model"
    """Folder of the network that comes of it, below the stage's; a stage with several trainings names each."""
    seed: int | None = None
    """None: the job's."""

    @property
    def prefix(self) -> str:
        """What stands before the names of its figures where the stage has several trainings."""
        return "" if self.model == "model" else f"{self.model}/"


def learn(stage: Stage, settings: Job, lesson: Lesson) -> Outcome:
    """Train on the cluster and describe what came of it, or read that where an attempt that was cut off had finished.

    The artifact `model` is the network's folder, whatever it is called.
    """
    record = stage.path(RAY_FOLDER, f"{lesson.model}-{stage.name}.json")
    if storage.exists(record) and _is_made_by(stage, stage.path(lesson.model)):
        say(f"  {lesson.loop}: {lesson.model} is trained already")
        return Outcome(**json.loads(storage.read_bytes(record)))
    outcome = _learn(stage, settings, lesson)
    storage.write_bytes(record, json.dumps(dataclasses.asdict(outcome)).encode())
    return outcome


def _is_made_by(stage: Stage, model: str) -> bool:
    """Whether the model is there and of this stage's settings and inputs: attempts with others use the same folders."""
    if not storage.exists(storage.join(model, DESCRIPTION)):
        return False
    made_from = read_description(model).provenance
    wanted = {**stage.inputs, "settings": stage.settings_digest}
    return all(made_from.get(name) == digest for name, digest in wanted.items())


def _learn(stage: Stage, settings: Job, lesson: Lesson) -> Outcome:
    loop, data, preprocess = lesson.loop, lesson.data, lesson.preprocess
    if isinstance(lesson.section, PretrainStage):
        check_method(lesson.section.model, lesson.section.method)
    else:
        check_backbone(lesson.section.model.backbone, "model.backbone")
    rows = rows_of(data)
    if loop == "finetune" and not len(rows.labelled):
        raise InputError(f"{data.budget or 'data.budget'}: no label to learn from; `index` writes budget.parquet")
    model_folder, seed = stage.path(lesson.model), settings.seed if lesson.seed is None else lesson.seed
    orders_settings = lesson.section.model_dump(mode="json")
    if (weights := model_input(orders_settings["model"]["weights"])) is not None:
        orders_settings["model"]["weights"] = storage.absolute(weights)
    minutes = settings.cluster.save_every_minutes
    with ready(settings):
        datasets = _whole_datasets(rows, data=data, preprocess=preprocess, settings=settings)
        whole = tuple(datasets)
        stream = None if loop == "finetune" else _stream(rows, lesson, settings, seed=seed)
        if stream is not None:
            datasets[STREAM] = stream.dataset
        orders = Work(
            loop=loop,
            settings=orders_settings,
            assignment=Assignment(
                preprocess=preprocess,
                model_folder=model_folder,
                seed=seed,
                settings_digest=stage.identity,
                provenance={**stage.inputs, "settings": stage.settings_digest, "mlflow_run_id": stage.run_id},
                patients=validation_patients(rows),
                save_every_steps=settings.cluster.save_every_steps,
                save_every_s=None if minutes is None else 60 * minutes,
            ),
            num_streamed=0 if stream is None else stream.num_images,
            clock=None if stream is None or stream.clock is None else stream.clock.name,
            whole=whole,
            fellows=_fellows(rows, lesson.section, stream),
            threads=settings.cluster.threads_per_worker,
            teacher=lesson.teacher,
        )

        result = _train(stage, settings, lesson, orders, datasets)
    # Some epochs may have been saved just before a driver was killed.
    stage.tracker.log_epochs(stage.run_id, result.history, prefix=lesson.prefix, known_by="loss")
    return _outcome(result, model_folder=model_folder, rows=rows)


def _train(
    stage: Stage, settings: Job, lesson: Lesson, orders: Work, datasets: Mapping[str, ray.data.Dataset]
) -> TrainingResult:
    """The training, with its epochs and its figures of the moment on the screen and in MLflow."""

    def record(figures: Mapping[str, float], step: int) -> None:
        named = {f"{lesson.prefix}{name}": value for name, value in figures.items()}
        stage.tracker.log_metrics(stage.run_id, named, step=step)

    title = f"{lesson.loop} {lesson.model}" if lesson.prefix else lesson.loop
    epochs = lesson.section.optim.epochs
    live = LiveLine(title, epochs=epochs, record=record)

    def on_epoch(metrics: Mapping[str, float]) -> None:
        live.say(epoch_text(title, metrics, epochs=epochs), verb=title, epoch=metrics)
        record({name: value for name, value in metrics.items() if name != "epoch"}, int(metrics["epoch"]))

    try:
        return train(
            orders,
            datasets,
            settings.cluster,
            folder=stage.path(RAY_FOLDER),
            name=f"{orders.loop}-{stage.name}" + (f"-{lesson.model}" if lesson.prefix else ""),
            on_epoch=on_epoch,
            on_figures=live.show,
            on_line=lambda text: live.say(f"  {title}: {text}"),
        )
    finally:
        live.close()


def _whole_datasets(
    rows: Rows, *, data: DataSettings, preprocess: Preprocess, settings: Job
) -> dict[str, ray.data.Dataset]:
    found: dict[str, ray.data.Dataset] = {}
    for name, chosen in ((LABELLED, rows.labelled), (VALIDATION, rows.validation)):
        if len(chosen):
            lazy = dataset(data, rows.manifest, chosen, preprocess=preprocess, cluster=settings.cluster, graded=True)
            found[name] = lazy.materialize()
    return found


def _stream(rows: Rows, lesson: Lesson, settings: Job, *, seed: int) -> Stream:
    stream = training_stream(lesson.data, rows, preprocess=lesson.preprocess, cluster=settings.cluster, seed=seed)
    if lost := len(rows.train) - stream.num_images:
        say(f"  {lost} of {len(rows.train)} training images cannot be read and are left out; `prepare` lists them")
    return stream


def _fellows(
    rows: Rows, section: PretrainStage | FinetuneStage | DistillStage, stream: Stream | None
) -> list[int] | None:
    """The other eye of every row, None where the settings do not ask for it."""
    if not isinstance(section, PretrainStage) or not section.fellow_eye_probability:
        return None
    if stream is None or stream.clock is not None:
        raise InputError(
            f"fellow_eye_probability: {len(rows.train)} images do not fit into memory and are streamed, where the "
            "other eye is not at hand; allowed is 0, a smaller preprocess.side_px, or nodes with a larger object store"
        )
    fellow = fellows_of(rows.manifest)
    if not (fellow[rows.train] >= 0).any():
        raise InputError(
            "fellow_eye_probability: the manifest has no patient with a left and a right eye among the training "
            "images; allowed is 0"
        )
    found: list[int] = fellow.tolist()
    return found


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
