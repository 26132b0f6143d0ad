"""The contenders of `bench_search.py`: what each of them takes to the validation AUC of its best student."""

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import ray
import torch
from mlflow import MlflowClient
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator

from raydr.config.jobs import DistillSettings, SearchSettings
from raydr.config.override import with_overrides
from raydr.config.stages import DistillStage
from raydr.engine.batch import Pool
from raydr.engine.package import load_model
from raydr.engine.score import score_share
from raydr.engine.sources import ShuffledPool, local_batch_size
from raydr.images.dihedral import dihedral_views
from raydr.images.jpeg import decode
from raydr.learning.assignment import Assignment
from raydr.learning.distil import DistilImages, Teaching, distil
from raydr.learning.step_rate import AloneContext
from raydr.learning.validation import VALIDATION_AUC
from raydr.models.ensemble import Ensemble
from raydr.workflows.distill import distill
from raydr.workflows.images import rows_of, validation_patients
from raydr.workflows.search import search


@dataclass(frozen=True)
class Course:
    """How a contender came to its best validation AUC."""

    seconds: float
    """For all trials, the teacher's outputs among them; the cluster ran before."""
    points: list[tuple[float, float]]
    """Seconds since its start and validation AUC, an epoch of a trial each."""
    epochs: int
    figures: Mapping[str, float] = field(default_factory=dict)
    """What else is known of raydr's."""
    samples: Sequence[Mapping[str, Any]] = ()
    """What was tried, in order."""

    @property
    def best(self) -> float:
        """The highest validation AUC."""
        return max(value for _, value in self.points)

    def first_at(self, least: float) -> float:
        """Seconds to the first epoch with such an AUC; all of them where there was none."""
        return min((second for second, value in sorted(self.points) if value >= least), default=self.seconds)


def raydr_search(settings: SearchSettings, slots: int) -> Course:
    """`raydr search`, its refit apart: the others train none."""
    started = time.time()
    metrics = search(settings).metrics
    seconds = metrics["seconds"]
    client = MlflowClient(settings.tracking.uri)
    points, training = [], 0.0
    for run in _trial_runs(client):
        start_ms = 1e3 * started
        history = client.get_metric_history(run, VALIDATION_AUC)
        points += [((found.timestamp - start_ms) / 1e3, found.value) for found in history]
        training += sum(found.value for found in client.get_metric_history(run, "seconds"))
    trials = metrics["num_trials"]
    figures = {
        "teacher": seconds["teacher"],
        "teacher_as_epochs": slots * seconds["teacher"] * metrics["trial_epochs"] / training,
        "refit": seconds["refits"],
        "epochs_share": 100 * metrics["trial_epochs"] / (trials * settings.epochs),
        # Of a slot, of which `slots` are open at once; all but the steps of training, so validation is in it.
        "trial_overhead": (slots * seconds["trials"] - training) / trials,
        "standard_error": metrics["best_trial"]["val_auc_se"],
    }
    samples = [trial["sample"] for trial in sorted(metrics["trials"], key=lambda trial: trial["number"])]
    whole = seconds["teacher"] + seconds["trials"]
    return Course(whole, points, metrics["trial_epochs"], figures, samples)


def _trial_runs(client: MlflowClient) -> list[str]:
    experiments = [found.experiment_id for found in client.search_experiments()]
    runs = client.search_runs(experiments, "attributes.run_name LIKE 'trial%'", max_results=500)
    return [run.info.run_id for run in runs]


def separate_runs(settings: SearchSettings, samples: Sequence[Mapping[str, Any]], threads: int) -> Course:
    """The same students one after another, each a `raydr distill` of its own that asks the teacher again."""
    points, epochs = [], 0
    started = time.time()
    for number, sample in enumerate(samples):
        student = with_overrides(settings.distill, {**sample, "optim.epochs": settings.epochs})
        content = {
            **student.model_dump(mode="json"),
            "job": "distill",
            "out": f"{settings.out}-{number}",
            "seed": settings.seed,
            "data": settings.data.model_dump(mode="json"),
            "teacher": settings.teacher,
            "cluster": {**settings.cluster.model_dump(mode="json"), "threads_per_worker": threads},
            "tracking": {"enabled": False},
        }
        history = distill(DistillSettings.model_validate(content)).metrics["history"]
        at = time.time() - started  # when the last epoch had ended; before it, each took its own seconds
        for found in reversed(history):
            points.append((at, found[VALIDATION_AUC]))
            at -= found["seconds"]
        epochs += len(history)
    return Course(time.time() - started, points, epochs)


def plain_tune(settings: SearchSettings, samples: Sequence[Mapping[str, Any]], teachers: Sequence[str]) -> Course:
    """Ray Tune with the same scheduler and samples; each trial loads the images and asks the teacher for itself."""
    trainable = tune.with_parameters(_alone, settings=settings.model_dump(mode="json"), teachers=list(teachers))
    watch = _Points()
    started = time.time()
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"CPU": settings.cpus_per_trial, "GPU": settings.gpus_per_trial}),
        param_space={key: tune.choice([sample[key] for sample in samples]) for key in samples[0]},
        tune_config=tune.TuneConfig(
            metric=VALIDATION_AUC,
            mode="max",
            num_samples=len(samples),
            search_alg=BasicVariantGenerator(points_to_evaluate=[dict(sample) for sample in samples]),
            scheduler=ASHAScheduler(
                time_attr="training_iteration",
                max_t=settings.epochs,
                grace_period=settings.grace_epochs,
                reduction_factor=settings.reduction_factor,
            ),
        ),
        run_config=tune.RunConfig(
            name=Path(settings.out).name, storage_path=str(Path(settings.out).parent), callbacks=[watch], verbose=0
        ),
    )
    found = tuner.fit()
    seconds = time.time() - started
    if found.errors:
        raise RuntimeError(f"{len(found.errors)} plain trials failed: {found.errors[0]}")
    return Course(seconds, [(at - started, value) for at, value in watch.points], len(watch.points))


class _Points(tune.Callback):
    """When each epoch of each trial was reported, and its validation AUC."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []

    def on_trial_result(
        self,
        iteration: int,  # noqa: ARG002  # Tune's signature
        trials: list[Any],  # noqa: ARG002
        trial: Any,  # noqa: ARG002
        result: dict[str, Any],
        **info: Any,  # noqa: ARG002
    ) -> None:
        """Take in one epoch."""
        self.points.append((time.time(), float(result[VALIDATION_AUC])))


class _Reporting(AloneContext):
    """A trial that tells Tune its AUC and keeps nothing."""

    def report(self, metrics: Mapping[str, float], save_state: Any) -> None:  # noqa: ARG002
        """Hand it to the scheduler, which may end the trial here."""
        tune.report({VALIDATION_AUC: metrics[VALIDATION_AUC]})


def _alone(sample: dict[str, Any], *, settings: dict[str, Any], teachers: list[str]) -> None:
    """One trial as one would write it with neither cache nor shared images."""
    torch.set_num_threads(max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1))))
    job = SearchSettings.model_validate(settings)
    stage = with_overrides(DistillStage.model_validate(settings["distill"]), {**sample, "optim.epochs": job.epochs})
    rows, members = rows_of(job.data), [load_model(folder) for folder in teachers]
    teacher = members[0]
    jpegs = _jpegs(str(job.data.shards))
    pick = functools.partial(_pool, rows.manifest, jpegs, teacher.preprocess)
    pool = pick(rows.train, graded=False)
    device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
    network = Ensemble([member.network for member in members]).to(device)

    def over_views(image: torch.Tensor) -> torch.Tensor:
        views = dihedral_views(image, stage.distillation.teacher_views)
        return torch.stack([network(view)[0] for view in views]).mean(dim=0)

    scores = score_share(over_views, pool, device=device)
    logits = np.full((rows.manifest.num_rows, scores.shape[1]), np.nan, dtype=np.float32)
    logits[pool.row] = scores
    assignment = Assignment(teacher.preprocess, None, job.seed, "alone", patients=validation_patients(rows))
    source = ShuffledPool(pool, local_batch_size(len(pool), stage.optim.batch_size, 1), seed=job.seed)
    images = DistilImages(source, pick(rows.labelled, graded=True), pick(rows.validation, graded=True))
    distil(stage, images, Teaching(logits, teacher.head), assignment, _Reporting(device))


def _jpegs(shards: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in sorted(Path(shards).glob("*.parquet")):
        table = pq.read_table(part, columns=["image_id", "jpeg"])
        found.update(zip(table["image_id"].to_pylist(), table["jpeg"].to_pylist(), strict=True))
    return found


def _pool(manifest: Any, jpegs: Mapping[str, bytes], preprocess: Any, rows: Any, *, graded: bool) -> Pool:
    names, grades = (manifest[column].take(rows).to_pylist() for column in ("image_id", "grade"))
    images = [preprocess.finish(decode(jpegs[name], min_side_px=preprocess.canvas_px)) for name in names]
    grade = np.array([value if graded else -1 for value in grades], dtype=np.int64)
    return Pool(np.stack(images).transpose(0, 3, 1, 2).copy(), np.asarray(rows), grade)
