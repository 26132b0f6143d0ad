"""A linear probe: how far the features of a frozen backbone carry."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from raydr.build import build_classifier
from raydr.config.arms import ProbeStage
from raydr.engine.batch import Pool
from raydr.engine.context import Context
from raydr.engine.score import score_share
from raydr.engine.state import Progress
from raydr.grades import REFERABLE_GRADE
from raydr.learning.assignment import Assignment
from raydr.learning.validation import Learnt, finish_classifier
from raydr.metrics.roc import Floats, auc

_LEAST_SPREAD = 1e-6  # a feature that is the same in all images says nothing
_MAX_ITERATIONS = 2000


@dataclass(frozen=True, slots=True)
class LinearRule:
    """Log odds of referable retinopathy, weight [F] times features and an offset."""

    weight: Floats
    offset: float

    def log_odds(self, features: NDArray[np.float32]) -> Floats:
        """Of images by their features [N, F]."""
        found: Floats = features @ self.weight + self.offset
        return found


def probe(settings: ProbeStage, labelled: Pool, validation: Pool, assignment: Assignment, context: Context) -> Learnt:
    """Fit the probe and write it as a classifier; `inverse_strength` is what the validation patients chose.

    The largest of several that do equally well on the validation patients is taken, and the largest of all without
    validation patients.

    Raises:
        ValueError: The labels are of one class only.
    """
    network = build_classifier(settings.model, "binary", context)
    network.eval()
    features, queries = (score_share(network.features, pool, device=context.device) for pool in (labelled, validation))
    truth, wanted = labelled.grade >= REFERABLE_GRADE, validation.grade >= REFERABLE_GRADE
    best: tuple[float, float, LinearRule] | None = None
    strengths = sorted(settings.inverse_strengths)
    rules = fit_rules(features, truth, inverse_strengths=strengths, class_balance=settings.class_balance)
    for strength, rule in zip(strengths, rules, strict=True):
        value = auc(wanted, rule.log_odds(queries)) if len(validation) else 0.0
        if best is None or not value < best[0]:
            best = (value, strength, rule)
    if best is None:
        raise ValueError("no inverse strength was given")
    _, strength, rule = best
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(rule.weight)[None])
        network.head.bias.fill_(rule.offset)
    probability = finish_classifier(network, settings.model, "binary", validation, assignment, context)
    return Learnt(Progress(), probability, {"inverse_strength": strength})


def fit_rules(
    features: NDArray[np.float32],
    truth: NDArray[np.bool_],
    *,
    inverse_strengths: Sequence[float],
    class_balance: bool,
) -> Iterator[LinearRule]:
    """Logistic regression on standardised features [N, F], as rules for the features themselves: one a strength C."""
    values = features.astype(np.float64)
    centre, spread = values.mean(axis=0), values.std(axis=0)
    spread = np.where(spread > _LEAST_SPREAD, spread, np.inf)
    standardised = (values - centre) / spread
    for strength in inverse_strengths:
        model = LogisticRegression(
            C=strength, class_weight="balanced" if class_balance else None, max_iter=_MAX_ITERATIONS
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # classes that are apart, and nearly no penalty
            model.fit(standardised, truth)
        weight: Floats = model.coef_[0] / spread
        yield LinearRule(weight, float(model.intercept_[0] - weight @ centre))
