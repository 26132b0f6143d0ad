"""The teacher: a supervised classifier on the budget's labels."""

import functools
from dataclasses import dataclass

from raydr.build import build_classifier, build_optimizer
from raydr.config.stages import FinetuneStage
from raydr.engine.batch import Pool
from raydr.engine.context import Context
from raydr.engine.fit import Training, fit
from raydr.engine.package import NUM_OUTPUTS
from raydr.engine.parallel import distributed, no_sync
from raydr.engine.sources import BatchSource
from raydr.engine.steps.classify import ClassifyStep
from raydr.images.augment import augmentation
from raydr.learning.assignment import Assignment, seed_weights
from raydr.learning.validation import VALIDATION_AUC, Learnt, finish_classifier, validation_auc
from raydr.losses.classification import balanced_weights
from raydr.schedules import is_due


@dataclass(frozen=True, slots=True)
class FinetuneImages:
    """The labelled images to learn from, as batches and as a whole, and the validation patients' images."""

    train: BatchSource
    labelled: Pool
    validation: Pool


def finetune(settings: FinetuneStage, images: FinetuneImages, assignment: Assignment, context: Context) -> Learnt:
    """Train the teacher; rank 0 writes the epoch that the settings keep."""
    seed_weights(assignment.seed)
    with_head = settings.head.start == "weights"
    network = build_classifier(settings.model, settings.head.kind, context, with_head=with_head)
    weights = (
        balanced_weights(images.labelled.grade, NUM_OUTPUTS[settings.head.kind]).to(context.device)
        if settings.class_balance
        else None
    )
    replica = distributed(network, context)
    training = Training(
        network=network,
        optimizer=build_optimizer(settings.optim, network),
        step=ClassifyStep(replica, augmentation(settings.augment, side_px=settings.view_side_px), weights),
        source=images.train,
        no_sync=no_sync(replica),
    )
    keep_best = VALIDATION_AUC if settings.keep == "best" and len(images.validation) else None
    plan = assignment.plan(settings.optim, keep_best=keep_best)
    due = functools.partial(is_due, every=settings.validate_every_epochs, epochs=settings.optim.epochs)
    validate = validation_auc(network, images.validation, context, assignment.patients, due)
    progress = fit(training, plan, context, validate)
    head = settings.head.kind
    return Learnt(progress, finish_classifier(network, settings.model, head, images.validation, assignment, context))
