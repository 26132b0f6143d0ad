"""The validation patients' part in a classifier's training: every epoch's AUC and, at the end, the thresholds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from raydr.config.learning import DownstreamModelSettings
from raydr.engine.batch import Pool
from raydr.engine.context import Context
from raydr.engine.fit import Validate
from raydr.engine.package import Head, ModelDescription, save_model
from raydr.engine.score import score_everywhere
from raydr.engine.state import Progress
from raydr.grades import REFERABLE_GRADE
from raydr.learning.assignment import Assignment
from raydr.metrics.operating import choose_thresholds
from raydr.metrics.roc import auc
from raydr.metrics.standard_error import auc_standard_error
from raydr.models.classifier import Classifier, referable_probability

VALIDATION_AUC, STANDARD_ERROR = "val_auc", "val_auc_se"


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the training of a classifier came to."""

    progress: Progress
    probability: NDArray[np.float64]
    """Of referable retinopathy, of the finished network for every validation image; empty where no model is kept."""
    choices: Mapping[str, float] = field(default_factory=dict)
    """What the validation patients chose beside the epoch."""


def validation_auc(
    network: Classifier,
    validation: Pool,
    context: Context,
    patients: Mapping[int, int] | None = None,
    is_due: Callable[[int], bool] = lambda _epoch: True,
) -> Validate:
    """A function that scores the validation patients after an epoch, over the whole set whatever the workers.

    Args:
        network: What is trained.
        validation: The patients' images.
        context: This worker's.
        patients: As `Assignment.patients`; the standard error takes them as its unit.
        is_due: Whether an epoch, the first of which is 0, is followed by a look at them.
    """
    known = patients or {}
    patient = np.array([known.get(row, -1 - row) for row in validation.row.tolist()], dtype=np.int64)
    truth = validation.grade >= REFERABLE_GRADE

    def validate(epoch: int) -> dict[str, float]:
        if not len(validation) or not is_due(epoch):
            return {}
        scores = _probability(network, validation, context)
        return {VALIDATION_AUC: auc(truth, scores), STANDARD_ERROR: auc_standard_error(truth, scores, patient)}

    return validate


def finish_classifier(
    network: Classifier,
    model: DownstreamModelSettings,
    head: Head,
    validation: Pool,
    assignment: Assignment,
    context: Context,
) -> NDArray[np.float64]:
    """Choose the operating points on the validation patients and, on rank 0, write the model folder.

    Returns:
        The probabilities of the validation images; none where no model is kept.
    """
    probability = np.empty(0)
    if assignment.model_folder is None:
        return probability
    thresholds = {}
    if len(validation):
        probability = _probability(network, validation, context)
        thresholds = choose_thresholds(validation.grade >= REFERABLE_GRADE, probability)
    if context.rank == 0:
        description = ModelDescription(
            backbone=model.backbone,
            head=head,
            preprocess=assignment.preprocess,
            drop_rate=model.drop_rate,
            thresholds=thresholds,
            provenance=dict(assignment.provenance),
        )
        save_model(assignment.model_folder, network, description)
    return probability


def _probability(network: Classifier, pool: Pool, context: Context) -> NDArray[np.float64]:
    logits = score_everywhere(network, pool, rank=context.rank, world_size=context.world_size, device=context.device)
    return referable_probability(torch.from_numpy(logits)).double().numpy()
