"""Settings into the student's step: the one place that knows its losses' names."""

import torch
from torch import Tensor, nn

from raydr.config.distillation import DistillationSettings
from raydr.config.stages import DistillStage
from raydr.engine.step import View
from raydr.engine.steps.distil import Consistency, DistilStep, TargetLoss, Targets
from raydr.errors import InputError
from raydr.losses.decoupled import decoupled_loss
from raydr.losses.distillation import hard_target_loss, soft_target_loss
from raydr.losses.sharpened import sharpened_target_loss
from raydr.losses.standardised import standardised_loss
from raydr.models.ensemble import Ensemble


def build_distil_step(
    settings: DistillationSettings,
    network: nn.Module,
    *,
    view: View,
    strong_view: View,
    targets: Targets | None,
    teacher: Ensemble | None,
    class_weights: torch.Tensor | None,
) -> DistilStep:
    """The student's step with the settings' losses and weights; ``teacher`` where it is asked about every view."""
    consistency = None
    if settings.consistency_weight:
        consistency = Consistency(strong_view, settings.consistency_weight, settings.consistency_threshold)
    return DistilStep(
        network=network,
        view=view,
        targets=targets,
        terms=_terms(settings),
        label_weight=settings.label_weight,
        class_weights=class_weights,
        consistency=consistency,
        teacher=teacher,
        feature_weight=settings.feature_weight,
    )


def check_losses(settings: DistillationSettings, num_outputs: int) -> None:
    """Raise InputError, naming the key, for a loss that needs five grades under a teacher with fewer outputs."""
    for name in ("decoupled_weight", "standardised_weight"):
        if getattr(settings, name) and num_outputs < 3:
            raise InputError(
                f"distillation.{name}: needs a teacher of five grades (finetune.head.kind = 'grades'); with one logit "
                "the loss says nothing"
            )


def check_start_from_teacher(settings: DistillStage, backbone: str) -> None:
    """Raise InputError, naming the key, for a student that is to start as a teacher of another ``backbone`` is."""
    if settings.is_unlike(backbone):
        raise InputError(
            f"start: is 'teacher', but the teacher is a {backbone!r}, as which a {settings.model.backbone!r} cannot "
            "start; set model.backbone to the teacher's, or start = 'model'"
        )


def _terms(settings: DistillationSettings) -> tuple[tuple[float, TargetLoss], ...]:
    temperature = settings.temperature

    def soft(student: Tensor, teacher: Tensor, _grade: Tensor) -> Tensor:
        return soft_target_loss(student, teacher, temperature=temperature)

    def hard(student: Tensor, teacher: Tensor, _grade: Tensor) -> Tensor:
        return hard_target_loss(student, teacher)

    def sharpened(student: Tensor, teacher: Tensor, _grade: Tensor) -> Tensor:
        return sharpened_target_loss(student, teacher, temperature=settings.sharpening)

    def standardised(student: Tensor, teacher: Tensor, _grade: Tensor) -> Tensor:
        return standardised_loss(student, teacher, temperature=temperature)

    def decoupled(student: Tensor, teacher: Tensor, grade: Tensor) -> Tensor:
        # Where the true grade is not known, what the teacher holds for right is.
        target = torch.where(grade >= 0, grade, teacher.argmax(dim=1))
        return decoupled_loss(student, teacher, target, temperature=temperature, other_weight=settings.other_grades)

    losses: list[tuple[float, TargetLoss]] = [
        (settings.soft_weight, soft),
        (settings.hard_weight, hard),
        (settings.sharpened_weight, sharpened),
        (settings.standardised_weight, standardised),
        (settings.decoupled_weight, decoupled),
    ]
    return tuple((weight, loss) for weight, loss in losses if weight)
