"""`raydr search`: students in parallel over the space, the best settings refitted at full length."""

import itertools
import json
import math
import time
from collections.abc import Mapping
from typing import Any

import ray

from raydr import storage
from raydr.build import check_losses
from raydr.config.jobs import SearchSettings
from raydr.config.override import with_overrides
from raydr.config.stages import SearchStage
from raydr.engine.package import NUM_OUTPUTS, Head, ModelDescription
from raydr.errors import InputError
from raydr.learning.assignment import Assignment
from raydr.learning.distil import Teaching
from raydr.learning.validation import VALIDATION_AUC
from raydr.search.ranking import not_told_apart
from raydr.search.trial import TrialImages
from raydr.search.tuner import TrialResult
from raydr.search.tuner import search as search_space
from raydr.training.teacher import read_teacher_logits
from raydr.workflows.cluster import connected
from raydr.workflows.console import say
from raydr.workflows.images import Rows, rows_of, small_pool, validation_patients
from raydr.workflows.job import RAY_FOLDER, Outcome, Pipeline, Stage, perform
from raydr.workflows.learn import Lesson, inputs_of, model_input
from raydr.workflows.outcome import conclude, sample_text, say_best
from raydr.workflows.refit import refit
from raydr.workflows.result import StageResult
from raydr.workflows.sections import section
from raydr.workflows.teaching import read_teacher, teach


def search(settings: SearchSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of the search; its artifact `model` is the refitted best student, `report` its page."""

    def body(stage: Stage) -> Outcome:
        teacher, head = read_teacher(settings.teacher)
        for key, domain in settings.space.items():
            for value in domain.samples():  # before anything starts, not in the first trial that draws such a value
                check_losses(with_overrides(settings.distill, {key: value}).distillation, NUM_OUTPUTS[head])
        rows = rows_of(settings.data)
        if not len(rows.validation):
            raise InputError(f"{settings.data.manifest}: split: no graded validation image to search by")
        clock = [time.perf_counter()]
        with connected(settings.cluster):
            logits = teach(
                stage.path(f"teacher-{stage.name}.parquet"),
                teacher=settings.teacher,
                head=head,
                rows=rows,
                data=settings.data,
                num_views=settings.distill.distillation.teacher_views,
                cluster=settings.cluster,
            )
            clock.append(time.perf_counter())
            trials = _trials(stage, settings, rows=rows, teacher=teacher, head=head, logits=logits)
            clock.append(time.perf_counter())
            say_best(trials, num_patients=len(set(validation_patients(rows).values())))
            student = with_overrides(settings.distill, trials[0].sample)
            lesson = Lesson("distil", student, settings.data, teacher.preprocess, logits, head)
            refits = refit(stage, settings, lesson)
            clock.append(time.perf_counter())
        parts = zip(("teacher", "trials", "refits"), itertools.pairwise(clock), strict=True)
        seconds = {name: round(end - start, 2) for name, (start, end) in parts}
        return conclude(stage, settings, rows, trials, refits, seconds=seconds, alone=pipeline is None)

    weights = model_input(settings.distill.model.weights)
    inputs = inputs_of(settings.data, teacher=settings.teacher, weights=weights)
    return perform(settings, "search", inputs=inputs, pipeline=pipeline, body=body)


def _trials(
    stage: Stage, settings: SearchSettings, *, rows: Rows, teacher: ModelDescription, head: Head, logits: str
) -> list[TrialResult]:
    def pool(chosen: Any, *, graded: bool) -> Any:
        return small_pool(
            settings.data,
            rows.manifest,
            chosen,
            preprocess=teacher.preprocess,
            cluster=settings.cluster,
            graded=graded,
        )

    _check_room(settings)
    _check_memory(len(rows.train), teacher.preprocess.side_px)
    images = TrialImages(
        pool=pool(rows.train, graded=False),
        labelled=pool(rows.labelled, graded=True),
        validation=pool(rows.validation, graded=True),
    )
    runs = _TrialRuns(stage, epochs=settings.epochs)
    distill = settings.distill
    if distill.model.weights not in ("none", "timm"):
        distill = with_overrides(distill, {"model.weights": storage.absolute(distill.model.weights)})
    try:
        results = search_space(
            section(SearchStage, settings),
            distill,
            images,
            Teaching(read_teacher_logits(logits), head),
            Assignment(
                preprocess=teacher.preprocess,
                model_folder=None,
                seed=settings.seed,
                settings_digest=stage.identity,
                patients=validation_patients(rows),
            ),
            folder=stage.path(RAY_FOLDER),
            name=f"search-{stage.name}",
            on_epoch=runs.on_epoch,
        )
    except BaseException:
        runs.abandon()
        raise
    runs.end(results)
    return results


def _check_room(settings: SearchSettings) -> None:
    """A trial that fits no cluster of fixed size would be waited for without end."""
    if settings.cluster.autoscaling:
        return
    have = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for key, kind, need in (
        ("cpus_per_trial", "CPU", settings.cpus_per_trial),
        ("gpus_per_trial", "GPU", settings.gpus_per_trial),
    ):
        if need > have.get(kind, 0.0):
            raise InputError(
                f"search: {key}: is {need:g}, the cluster has {have.get(kind, 0.0):g} {kind}s; lower it, or set "
                "cluster.autoscaling where the cluster grows on demand"
            )


def _check_memory(num_images: int, side_px: int) -> None:
    """Trials share the decoded training images in the object store, which must hold them."""
    need = num_images * 3 * side_px**2
    have = ray.cluster_resources().get("object_store_memory", 0.0)  # type: ignore[no-untyped-call]
    if need > 0.8 * have:
        raise InputError(
            f"search: {num_images} training images of {side_px} pixels take {need / 2**30:.1f} GiB decoded, the object "
            f"store has {have / 2**30:.1f} GiB; raise cluster.object_store_mib or lower preprocess.side_px"
        )


class _TrialRuns:
    """An MLflow run for each trial, below the search's own, and a line on the screen for each epoch."""

    def __init__(self, stage: Stage, *, epochs: int) -> None:
        self._stage, self._epochs = stage, epochs
        self._uri = stage.path(f"trials-{stage.name}.json")
        # A search that was cut off starts its trials again, with the same samples: each goes on in its own run.
        self._before = json.loads(storage.read_bytes(self._uri)) if storage.exists(self._uri) else {}
        self._run_ids: dict[int, str] = {}

    def on_epoch(self, number: int, sample: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Record one epoch of one trial."""
        tracker = self._stage.tracker
        if number not in self._run_ids:
            self._run_ids[number] = tracker.start_run(
                f"trial {number + 1}",
                parent_id=self._stage.run_id or None,
                continue_id=self._before.get(str(number)) or None,
                params=sample,
            )
            known = self._before | {str(key): run_id for key, run_id in self._run_ids.items()}
            storage.write_bytes(self._uri, json.dumps(known).encode())
        step = int(metrics.get("epoch", 0))
        figures = {name: value for name, value in metrics.items() if name != "epoch"}
        tracker.log_metrics(self._run_ids[number], figures, step=step)
        value = metrics.get(VALIDATION_AUC, math.nan)
        say(f"  trial {number + 1} epoch {step + 1}/{self._epochs}  validation AUC {value:.4f}  {sample_text(sample)}")

    def abandon(self) -> None:
        """Close the runs of a search that was cut off."""
        for run_id in self._run_ids.values():
            self._stage.tracker.end_run(run_id, "KILLED")

    def end(self, results: list[TrialResult]) -> None:
        """Close the trials' runs with their best figure."""
        close = not_told_apart(results)
        for result in results:
            if (run_id := self._run_ids.get(result.number)) is not None:
                figures = {"best_val_auc": result.best_auc, "best_val_auc_se": result.standard_error}
                self._stage.tracker.log_metrics(run_id, figures)
                self._stage.tracker.set_tags(run_id, {"raydr.not_told_apart": str(result.number in close).lower()})
                self._stage.tracker.end_run(run_id, "FAILED" if result.failed else "FINISHED")
