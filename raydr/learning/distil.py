"""The student: a classifier that learns from a teacher's outputs and from the budget's labels."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from raydr.build import build_classifier, build_distil_step, build_optimizer, check_losses
from raydr.config.distillation import DistillationSettings
from raydr.config.stages import DistillStage
from raydr.engine.batch import Pool
from raydr.engine.context import Context
from raydr.engine.fit import Training, fit
from raydr.engine.package import NUM_OUTPUTS, Head, load_model
from raydr.engine.parallel import distributed, no_sync
from raydr.engine.sources import BatchSource, WithLabelled
from raydr.engine.steps.distil import Targets
from raydr.errors import InputError
from raydr.grades import REFERABLE_GRADE
from raydr.images.augment import augmentation
from raydr.learning.assignment import Assignment, seed_weights
from raydr.learning.validation import VALIDATION_AUC, Learnt, finish_classifier, validation_auc
from raydr.losses.classification import balanced_weights
from raydr.models.classifier import Classifier
from raydr.models.ensemble import Ensemble
from raydr.models.student import Student
from raydr.pseudolabels import correct_prior, estimate_prior, probabilities, sure_rows, with_fellow_eyes


@dataclass(frozen=True, slots=True)
class DistilImages:
    """All training images as batches, the labelled ones and the validation patients' as a whole."""

    train: BatchSource
    labelled: Pool
    validation: Pool


@dataclass(frozen=True, slots=True)
class Teaching:
    """What a teacher is and what it said."""

    logits: NDArray[np.float32] | None
    """[rows of the manifest, outputs], NaN where it has none; None where it was not asked beforehand."""
    head: Head
    folders: tuple[str, ...] = ()
    """Model folders of its networks, for a student that asks it online."""
    fellow: NDArray[np.int64] | None = None
    """[rows of the manifest] the row of the same patient's other eye, or -1; None where it was not looked for."""


def distil(
    settings: DistillStage, images: DistilImages, teaching: Teaching, assignment: Assignment, context: Context
) -> Learnt:
    """Train the student; rank 0 writes the epoch that the settings keep."""
    seed_weights(assignment.seed)
    wanted = settings.distillation
    check_losses(wanted, NUM_OUTPUTS[teaching.head])
    network = _first_network(settings, teaching, context)
    teacher = None
    if wanted.targets == "online":
        teacher = Ensemble([load_model(folder).network for folder in teaching.folders]).to(context.device)
    student = Student(network, teacher.num_features if teacher and wanted.feature_weight else None).to(context.device)
    weights = (
        balanced_weights(images.labelled.grade, NUM_OUTPUTS[teaching.head]).to(context.device)
        if settings.class_balance and len(images.labelled)
        else None
    )
    replica = distributed(student, context)
    step = build_distil_step(
        wanted,
        replica,
        view=augmentation(settings.augment, side_px=settings.view_side_px),
        strong_view=augmentation(settings.strong_augment, side_px=settings.view_side_px),
        targets=None if teaching.logits is None else targets_of(wanted, teaching, images.labelled.grade, context),
        teacher=teacher,
        class_weights=weights,
    )
    source: BatchSource = images.train
    if wanted.label_weight and settings.labelled_fraction and len(images.labelled):
        num_labelled = max(1, round(settings.optim.batch_size * settings.labelled_fraction / context.world_size))
        source = WithLabelled(source, images.labelled, num_labelled, seed=assignment.seed, rank=context.rank)
    training = Training(student, build_optimizer(settings.optim, student), step, source, no_sync(replica))
    keep_best = VALIDATION_AUC if settings.keep == "best" and len(images.validation) else None
    plan = assignment.plan(settings.optim, keep_best=keep_best)
    progress = fit(training, plan, context, validation_auc(network, images.validation, context, assignment.patients))
    head = teaching.head
    return Learnt(progress, finish_classifier(network, settings.model, head, images.validation, assignment, context))


def _first_network(settings: DistillStage, teaching: Teaching, context: Context) -> Classifier:
    if settings.start == "model":
        return build_classifier(settings.model, teaching.head, context)
    model = settings.model.model_copy(update={"weights": teaching.folders[0]})
    return build_classifier(model, teaching.head, context, with_head=True)


def targets_of(
    settings: DistillationSettings, teaching: Teaching, labelled: NDArray[np.int64], context: Context
) -> Targets:
    """The outputs that the teacher was asked for beforehand, as the student is to believe them.

    Raises:
        InputError: The gate lets no image through, or no eye has a fellow that is to be heard.
    """
    logits = np.array(teaching.logits, dtype=np.float32)
    if settings.fellow_eye_share:
        if teaching.fellow is None or not (teaching.fellow >= 0).any():
            raise InputError(
                "distillation.fellow_eye_share: the manifest has no patient with a left and a right eye; allowed is 0"
            )
        logits = with_fellow_eyes(logits, teaching.fellow, share=settings.fellow_eye_share)
    shift = np.zeros(logits.shape[1], dtype=np.float32)
    known = np.flatnonzero(~np.isnan(logits).any(axis=1))
    if settings.correct_prior != "none" and len(known):
        trained = _trained_prior(settings, labelled, teaching.head)
        found = estimate_prior(probabilities(logits[known]), trained)
        logits[known] = correct_prior(logits[known], trained_prior=trained, prior=found)
        shift = correct_prior(shift[None], trained_prior=trained, prior=found)[0]
    kept = sure_rows(
        probabilities(logits[known]),
        least_confidence=settings.least_confidence,
        kept_share=settings.kept_share,
    )
    if len(known) and not kept.any():
        surest = probabilities(logits[known]).max()
        raise InputError(
            f"distillation.least_confidence: is {settings.least_confidence:g}, but the teacher's surest call has "
            f"{surest:.3f}; lower it"
        )
    logits[known[~kept]] = np.nan
    return Targets(
        torch.from_numpy(logits).to(context.device),
        kept.mean() if len(kept) else 1.0,
        torch.from_numpy(shift).to(context.device),
    )


def _trained_prior(settings: DistillationSettings, labelled: NDArray[np.int64], head: Head) -> NDArray[np.float64]:
    """The frequencies of classes that the teacher was trained at; half an image more of each, so that none is 0."""
    num_classes = max(2, NUM_OUTPUTS[head])
    if settings.correct_prior == "balanced":
        return np.full(num_classes, 1 / num_classes)
    classes = labelled if head == "grades" else (labelled >= REFERABLE_GRADE).astype(np.int64)
    counts = np.bincount(classes, minlength=num_classes) + 0.5
    frequencies: NDArray[np.float64] = counts / counts.sum()
    return frequencies
