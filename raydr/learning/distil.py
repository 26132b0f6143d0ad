"""The student: a classifier that learns from a teacher's cached outputs and from the budget's labels."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from raydr.build import build_classifier, build_distil_step, build_optimizer
from raydr.config.distillation import DistillationSettings
from raydr.config.stages import DistillStage
from raydr.engine.batch import Pool
from raydr.engine.context import Context
from raydr.engine.fit import Training, fit
from raydr.engine.package import NUM_OUTPUTS, Head
from raydr.engine.parallel import distributed, no_sync
from raydr.engine.sources import BatchSource, WithLabelled
from raydr.engine.state import Progress
from raydr.engine.steps.distil import Targets
from raydr.grades import REFERABLE_GRADE
from raydr.images.augment import augmentation
from raydr.learning.assignment import Assignment, seed_weights
from raydr.learning.validation import VALIDATION_AUC, finish_classifier, validation_auc
from raydr.losses.classification import balanced_weights
from raydr.pseudolabels import correct_prior, estimate_prior, probabilities, sure_rows


@dataclass(frozen=True, slots=True)
class DistilImages:
    """All training images as batches, the labelled ones and the validation patients' as a whole."""

    train: BatchSource
    labelled: Pool
    validation: Pool


@dataclass(frozen=True, slots=True)
class Teaching:
    """The teacher's outputs [rows of the manifest, outputs] (NaN where it has none) and what its head is."""

    logits: NDArray[np.float32]
    head: Head


def distil(
    settings: DistillStage, images: DistilImages, teaching: Teaching, assignment: Assignment, context: Context
) -> Progress:
    """Train the student; rank 0 writes the epoch that the settings keep."""
    seed_weights(assignment.seed)
    network = build_classifier(settings.model, teaching.head, context)
    weights = (
        balanced_weights(images.labelled.grade, NUM_OUTPUTS[teaching.head]).to(context.device)
        if settings.class_balance
        else None
    )
    replica = distributed(network, context)
    step = build_distil_step(
        settings.distillation,
        replica,
        view=augmentation(settings.augment),
        strong_view=augmentation(settings.strong_augment),
        targets=targets_of(settings.distillation, teaching, images.labelled.grade, context),
        class_weights=weights,
    )
    source: BatchSource = images.train
    if settings.distillation.label_weight and len(images.labelled):
        num_labelled = max(1, round(settings.optim.batch_size * settings.labelled_fraction / context.world_size))
        source = WithLabelled(source, images.labelled, num_labelled, seed=assignment.seed, rank=context.rank)
    training = Training(network, build_optimizer(settings.optim, network), step, source, no_sync(replica))
    keep_best = VALIDATION_AUC if settings.keep == "best" and len(images.validation) else None
    plan = assignment.plan(settings.optim, keep_best=keep_best)
    progress = fit(training, plan, context, validation_auc(network, images.validation, context, assignment.patients))
    finish_classifier(network, settings.model, teaching.head, images.validation, assignment, context)
    return progress


def targets_of(
    settings: DistillationSettings, teaching: Teaching, labelled: NDArray[np.int64], context: Context
) -> Targets:
    """The teacher's outputs as the student is to believe them."""
    logits = np.array(teaching.logits, dtype=np.float32)
    known = np.flatnonzero(~np.isnan(logits).any(axis=1))
    if settings.correct_prior != "none" and len(known):
        trained = _trained_prior(settings, labelled, teaching.head)
        found = estimate_prior(probabilities(logits[known]), trained)
        logits[known] = correct_prior(logits[known], trained_prior=trained, prior=found)
    kept = sure_rows(
        probabilities(logits[known]),
        least_confidence=settings.least_confidence,
        kept_share=settings.kept_share,
    )
    logits[known[~kept]] = np.nan
    return Targets(torch.from_numpy(logits).to(context.device), max(kept.mean(), 1e-6) if len(kept) else 1.0)


def _trained_prior(settings: DistillationSettings, labelled: NDArray[np.int64], head: Head) -> NDArray[np.float64]:
    """The frequencies of classes that the teacher was trained at; half an image more of each, so that none is 0."""
    num_classes = max(2, NUM_OUTPUTS[head])
    if settings.correct_prior == "balanced":
        return np.full(num_classes, 1 / num_classes)
    classes = labelled if head == "grades" else (labelled >= REFERABLE_GRADE).astype(np.int64)
    counts = np.bincount(classes, minlength=num_classes) + 0.5
    frequencies: NDArray[np.float64] = counts / counts.sum()
    return frequencies
