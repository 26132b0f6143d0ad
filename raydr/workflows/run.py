"""`raydr run`: the whole chain from one file, restartable; a stage that stands is not run again."""

import time
from dataclasses import dataclass
from typing import Any

from raydr import storage
from raydr.build import check_method
from raydr.config.jobs import (
    EvaluateSettings,
    FinetuneSettings,
    IndexSettings,
    PrepareSettings,
    PretrainSettings,
    RunSettings,
    SearchSettings,
)
from raydr.config.override import with_overrides
from raydr.config.space import extremes
from raydr.models.backbone import check_backbone
from raydr.tracking.runs import Tracking
from raydr.workflows.cluster import held
from raydr.workflows.console import say
from raydr.workflows.digests import digest_of_settings
from raydr.workflows.evaluate import evaluate
from raydr.workflows.finetune import finetune
from raydr.workflows.index import index
from raydr.workflows.job import Pipeline, check_out, close_tracking, identity_of, open_tracking, start_or_continue
from raydr.workflows.preflight import ready
from raydr.workflows.prepare import prepare
from raydr.workflows.pretrain import pretrain
from raydr.workflows.publish import Chain, publish
from raydr.workflows.result import StageResult, now, write_result
from raydr.workflows.search import search
from raydr.workflows.sections import job_of
from raydr.workflows.summary import say_summary


def run(settings: RunSettings) -> StageResult:
    """The result of the chain; `metrics.auc` is the student's, `metrics.teacher_auc` the teacher's."""
    out = storage.absolute(settings.out)
    previous = check_out(out, "run")
    _check_networks(settings)
    settings_digest = digest_of_settings(settings)
    parent = _Parent(settings, out, settings_digest)
    started, clock = now(), time.perf_counter()
    try:
        with held():  # until the student has been compared with the champion
            chain = _stages(settings, out, Pipeline(parent.begin))
            inputs = {name: identity_of(stage.settings_digest, stage.inputs) for name, stage in chain.stages.items()}
            if previous is not None and (previous.settings_digest, dict(previous.inputs)) == (settings_digest, inputs):
                result = _again(previous)
            else:
                tracker, run_id = parent.open()
                outcome = publish(settings, out, chain, tracker=tracker, run_id=run_id)
                result = StageResult(
                    verb="run",
                    out=out,
                    settings_digest=settings_digest,
                    started=started,
                    seconds=round(time.perf_counter() - clock, 2),
                    mlflow_run_id=run_id,
                    metrics=outcome.metrics,
                    artifacts=outcome.artifacts,
                    inputs=inputs,
                )
                tracker.log_metrics(run_id, {**outcome.logged, "wall_seconds": result.seconds})
                tracker.end_run(run_id, "FINISHED")
                write_result(result)
                close_tracking(tracker, figures_in=result.uri)
    except BaseException as error:
        parent.fail("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    say_summary(result, chain.stages, viewing=open_tracking(settings, out).viewing())
    return result


def _check_networks(settings: RunSettings) -> None:
    """Raise InputError for a network that no stage can build, before hours of the stages ahead of it."""
    check_method(settings.pretrain.model, settings.pretrain.method, "pretrain.model.backbone")
    check_backbone(settings.finetune.model.backbone, "finetune.model.backbone")
    check_backbone(settings.distill.model.backbone, "distill.model.backbone")
    for key, overrides in extremes(settings.search.space):
        check_backbone(with_overrides(settings.distill, overrides).model.backbone, f'search.space."{key}"')


@dataclass(slots=True)
class _Parent:
    """The MLflow run of the chain, opened when the first stage has something to do."""

    settings: RunSettings
    out: str
    settings_digest: str
    opened: tuple[Tracking, str] | None = None

    def open(self) -> tuple[Tracking, str]:
        """The tracker and the run's id."""
        if self.opened is None:
            tracker = open_tracking(self.settings, self.out)
            identity = identity_of(self.settings_digest, {})
            run_id = start_or_continue(tracker, "run", out=self.out, identity=identity, settings=self.settings)
            self.opened = (tracker, run_id)
        return self.opened

    def begin(self) -> tuple[Tracking, str]:
        """As `open`, after a look at whether the cluster has a place for every stage to come."""
        if self.opened is None:
            with ready(self.settings):
                pass
        return self.open()

    def fail(self, status: Any) -> None:
        """End the run, if it was opened, as what it is."""
        if self.opened is not None:
            tracker, run_id = self.opened
            tracker.end_run(run_id, status)
            close_tracking(tracker)


def _again(previous: StageResult) -> StageResult:
    say("run: every stage is up to date, nothing was done")
    return previous.again()


def _stages(settings: RunSettings, out: str, pipeline: Pipeline) -> Chain:
    """Every stage in turn, each one's inputs the results of those before it."""

    def build(kind: Any, job: str, section: Any, **more: Any) -> Any:
        folder = storage.join(out, *more.pop("folder", (job,)))
        return job_of(kind, job, folder, settings, section, **more)

    indexed = index(build(IndexSettings, "index", settings.index), pipeline=pipeline)
    data: dict[str, Any] = {"manifest": indexed.artifacts["manifest"], "budget": indexed.artifacts["budget"]}
    stages = {"index": indexed}
    preprocess = settings.preprocess.model_dump(mode="json")
    if settings.prepare is not None:
        retina = {key: value for key, value in preprocess.items() if key != "side_px"}
        job = build(PrepareSettings, "prepare", settings.prepare, manifest=data["manifest"], preprocess=retina)
        stages["prepare"] = prepare(job, pipeline=pipeline)
        data["shards"] = stages["prepare"].artifacts["shards"]
    job = build(PretrainSettings, "pretrain", settings.pretrain, data=data, preprocess=preprocess)
    stages["pretrain"] = pretrain(job, pipeline=pipeline)
    backbone = stages["pretrain"].artifacts["model"]
    tuned = settings.finetune.model_dump(mode="json")
    _start_from(tuned["model"], backbone)
    job = build(FinetuneSettings, "finetune", None, **tuned, data=data, preprocess=preprocess)
    stages["finetune"] = finetune(job, pipeline=pipeline)
    models = {name: uri for name, uri in stages["finetune"].artifacts.items() if name.startswith("model")}
    teacher = models["model"]
    taught = settings.distill.model_dump(mode="json")
    _start_from(taught["model"], backbone)
    job = build(SearchSettings, "search", settings.search, data=data, teacher=list(models.values()), distill=taught)
    stages["search"] = search(job, pipeline=pipeline)
    student = stages["search"].artifacts["model"]
    tested = {"manifest": data["manifest"], "shards": data.get("shards")}
    for name, model in (("teacher", teacher), ("student", student)):
        job = build(
            EvaluateSettings, "evaluate", settings.evaluate, folder=(f"evaluate-{name}",), data=tested, model=model
        )
        stages[f"evaluate {name}"] = evaluate(job, pipeline=pipeline)
    return Chain(stages, teacher=teacher, student=student)


def _start_from(model: dict[str, Any], backbone: str) -> None:
    """`pretrain` as the start means this run's backbone."""
    if model["weights"] == "pretrain":
        model["weights"] = backbone
