"""`raydr finetune`: the teacher, on the budget's labels."""

from raydr.build import build_preprocess
from raydr.config.jobs import FinetuneSettings
from raydr.config.stages import FinetuneStage
from raydr.workflows.images import through_px
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.learn import Lesson, inputs_of, learn, model_input
from raydr.workflows.result import StageResult
from raydr.workflows.sections import section


def finetune(settings: FinetuneSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of fine-tuning; its artifact `model` is the teacher."""

    def body(stage: Stage) -> Outcome:
        preprocess = build_preprocess(settings.preprocess, through_px=through_px(settings.data))
        return learn(stage, settings, Lesson("finetune", section(FinetuneStage, settings), settings.data, preprocess))

    inputs = inputs_of(settings.data, weights=model_input(settings.model.weights))
    return perform(settings, "finetune", inputs=inputs, pipeline=pipeline, body=body)
