"""`raydr pretrain`: self-supervised pretraining on every training image."""

from raydr.build import build_preprocess
from raydr.config.jobs import PretrainSettings
from raydr.config.stages import PretrainStage
from raydr.workflows.images import through_px
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.learn import Lesson, inputs_of, learn, model_input
from raydr.workflows.result import StageResult
from raydr.workflows.sections import section


def pretrain(settings: PretrainSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of pretraining; its artifact `model` is the backbone."""

    def body(stage: Stage) -> Outcome:
        preprocess = build_preprocess(settings.preprocess, through_px=through_px(settings.data))
        return learn(stage, settings, Lesson("pretrain", section(PretrainStage, settings), settings.data, preprocess))

    inputs = inputs_of(settings.data, weights=model_input(settings.model.weights))
    return perform(settings, "pretrain", inputs=inputs, pipeline=pipeline, body=body)
