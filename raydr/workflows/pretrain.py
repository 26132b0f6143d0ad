"""`raydr pretrain`: self-supervised pretraining on every training image."""

from collections.abc import Mapping

from raydr import storage
from raydr.build import build_preprocess
from raydr.config.jobs import PretrainSettings
from raydr.config.stages import PretrainStage
from raydr.errors import InputError
from raydr.workflows.digests import digest_of_input, digest_of_settings
from raydr.workflows.images import through_px
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.learn import Lesson, inputs_of, learn, model_input
from raydr.workflows.result import StageResult, read_result
from raydr.workflows.sections import section


def pretrain(
    settings: PretrainSettings, *, pipeline: Pipeline | None = None, digests: Mapping[str, str] | None = None
) -> StageResult:
    """The result of pretraining; its artifact `model` is the backbone.

    Args:
        settings: The verb's own.
        pipeline: The `run` or `study` it is part of, if any.
        digests: That count in place of its input files' own.
    """

    def body(stage: Stage) -> Outcome:
        preprocess = build_preprocess(settings.preprocess, through_px=through_px(settings.data))
        return learn(stage, settings, Lesson("pretrain", section(PretrainStage, settings), settings.data, preprocess))

    return perform(settings, "pretrain", inputs=_inputs(settings), pipeline=pipeline, digests=digests, body=body)


def pretrained(settings: PretrainSettings, digests: Mapping[str, str]) -> str | None:
    """The backbone of these settings and inputs that stands in their folder; None where it would have to be made."""
    previous = read_result(storage.absolute(settings.out))
    if previous is None or previous.settings_digest != digest_of_settings(settings):
        return None
    try:
        found = {name: digest_of_input(name, uri) for name, uri in _inputs(settings).items()} | dict(digests)
    except InputError:  # what it started from is gone
        return None
    model = previous.artifacts["model"]
    return model if dict(previous.inputs) == found and storage.exists(model) else None


def _inputs(settings: PretrainSettings) -> dict[str, str]:
    return inputs_of(settings.data, weights=model_input(settings.model.weights))
