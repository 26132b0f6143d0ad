"""`raydr finetune`: the teacher, on the budget's labels."""

from dataclasses import replace

from raydr.build import build_preprocess
from raydr.config.jobs import FinetuneSettings
from raydr.config.stages import FinetuneStage
from raydr.workflows.cluster import connected
from raydr.workflows.images import through_px
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.learn import Lesson, inputs_of, learn, model_input
from raydr.workflows.result import StageResult
from raydr.workflows.sections import section


def finetune(settings: FinetuneSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of fine-tuning; its artifacts are the teacher, `model`, and `model_1` and so on of an ensemble."""

    def body(stage: Stage) -> Outcome:
        preprocess = build_preprocess(settings.preprocess, through_px=through_px(settings.data))
        lesson = Lesson("finetune", section(FinetuneStage, settings), settings.data, preprocess)
        with connected(settings.cluster):
            first, *others = (
                learn(stage, settings, replace(lesson, model=name, seed=settings.seed + number))
                for number, name in enumerate(["model", *(f"model-{other}" for other in range(1, settings.ensemble))])
            )
        if not others:
            return first
        artifacts = {f"model_{number}": found.artifacts["model"] for number, found in enumerate(others, start=1)}
        metrics = {f"model_{number}": found.metrics for number, found in enumerate(others, start=1)}
        return Outcome({**first.metrics, **metrics}, {**first.artifacts, **artifacts}, first.logged)

    inputs = inputs_of(settings.data, weights=model_input(settings.model.weights))
    return perform(settings, "finetune", inputs=inputs, pipeline=pipeline, body=body)
