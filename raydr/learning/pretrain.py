"""Self-supervised pretraining of a backbone."""

from dataclasses import dataclass

from raydr.build import build_method, build_optimizer
from raydr.config.stages import PretrainStage
from raydr.engine.batch import Pool
from raydr.engine.context import Context
from raydr.engine.fit import Training, fit
from raydr.engine.package import ModelDescription, save_model
from raydr.engine.score import score_everywhere
from raydr.engine.sources import BatchSource
from raydr.engine.state import Progress
from raydr.grades import REFERABLE_GRADE
from raydr.images.augment import augmentation
from raydr.learning.assignment import Assignment, seed_weights
from raydr.metrics.neighbours import effective_rank, knn_scores
from raydr.metrics.roc import auc
from raydr.schedules import is_due


@dataclass(frozen=True, slots=True)
class PretrainImages:
    """What pretraining looks at: the stream it learns from, and labelled images for the check on its features."""

    train: BatchSource
    bank: Pool
    """The budget's labelled images, whose neighbours vote."""
    queries: Pool
    """The validation patients' images."""


def pretrain(settings: PretrainStage, images: PretrainImages, assignment: Assignment, context: Context) -> Progress:
    """Pretrain, checking the features by kNN on the validation patients as it goes; rank 0 writes the backbone."""
    seed_weights(assignment.seed)
    method = build_method(
        settings.model, settings.method, augmentation(settings.augment, side_px=settings.view_side_px), context
    )

    def validate(epoch: int) -> dict[str, float]:
        due = is_due(epoch, every=settings.probe.every_epochs, epochs=settings.optim.epochs)
        if not due or not len(images.bank) or not len(images.queries):
            return {}
        bank, queries = (
            score_everywhere(
                method.encoder.backbone, pool, rank=context.rank, world_size=context.world_size, device=context.device
            )
            for pool in (images.bank, images.queries)
        )
        votes = knn_scores(
            bank, images.bank.grade >= REFERABLE_GRADE, queries, num_neighbours=settings.probe.num_neighbours
        )
        return {
            "knn_auc": auc(images.queries.grade >= REFERABLE_GRADE, votes),
            "effective_rank": effective_rank(queries),
        }

    training = Training(
        network=method.network,
        optimizer=build_optimizer(settings.optim, method.network),
        step=method.step,
        source=images.train,
        no_sync=method.no_sync,
    )
    progress = fit(training, assignment.plan(settings.optim, keep_best=None), context, validate)
    if context.rank == 0 and assignment.model_folder is not None:
        description = ModelDescription(
            backbone=settings.model.backbone,
            head=None,
            preprocess=assignment.preprocess,
            provenance=dict(assignment.provenance),
        )
        save_model(assignment.model_folder, method.encoder, description)
    return progress
