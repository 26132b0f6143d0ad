"""What is known of a model: from its folder, and from the run that made it."""

import dataclasses
from typing import Final

from raydr.config.jobs import RunSettings
from raydr.engine.package import ModelDescription
from raydr.reporting.model_facts import ModelFacts
from raydr.reporting.wording import counted

_START: Final = {"none": "random weights", "timm": "timm's published weights"}


def facts_of_folder(description: ModelDescription) -> ModelFacts:
    """What a model's folder says of it."""
    return ModelFacts(
        backbone=description.backbone,
        has_grades=description.head == "grades",
        side_px=description.preprocess.side_px,
        crop=description.preprocess.crop,
        enhance=description.preprocess.enhance,
        thresholds=description.thresholds,
        provenance=description.provenance,
    )


def facts_of_student(description: ModelDescription, settings: RunSettings, *, num_labels: int) -> ModelFacts:
    """What a run knows of its student: how it and those before it were made, from the settings."""
    pretrain, tune, distill, search = settings.pretrain, settings.finetune, settings.distill, settings.search
    teachers = counted(tune.ensemble, "teacher")
    training = [
        f"Pretraining of {pretrain.model.backbone} by {pretrain.method.name} on all training images without labels, "
        f"{counted(pretrain.optim.epochs, 'epoch')}.",
        f"{teachers} ({tune.model.backbone}) fine-tuned on {counted(num_labels, 'label')}, "
        f"{counted(tune.optim.epochs, 'epoch')}"
        + (", classes weighed by their frequency." if tune.class_balance else "."),
        f"Distillation on all training images, {counted(distill.rounds, 'round')} of "
        f"{counted(distill.optim.epochs, 'epoch')}.",
    ]
    student = "its teacher's network" if distill.start == "teacher" else _start(distill.model.weights)
    refits = f", then the median of {search.refit_seeds} refits" if search.refit_seeds > 1 else ""
    return dataclasses.replace(
        facts_of_folder(description),
        start=f"The student from {student}, pretraining from {_start(pretrain.model.weights)}.",
        training=training,
        selection=f"By the AUC on the validation patients, among {counted(search.trials, 'trial')}{refits}; no test "
        "image took part.",
        ensemble=f"The student is one network, taught by {teachers}.",
    )


def _start(weights: str) -> str:
    if weights == "pretrain":
        return "this run's pretrained backbone"
    return _START.get(weights, "weights that were given")
