"""What a student is to believe of its teacher: outputs put right for another prevalence, and only the sure ones."""

import numpy as np
from numpy.typing import NDArray

_MOST_ROUNDS = 1000


def probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Class probabilities [N, K] of logits [N, K]; [N, 2], not referable and referable, of one logit [N, 1]."""
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"logits {values.shape} must be [N, K]")
    if values.shape[1] == 1:
        values = np.concatenate([np.zeros_like(values), values], axis=1)
    values = np.exp(values - values.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = values / values.sum(axis=1, keepdims=True)
    return shares


def estimate_prior(probability: NDArray[np.float64], trained_prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """How frequent the classes are among images, from a classifier that was trained at another frequency.

    The maximum-likelihood estimate by expectation maximisation (doi:10.1162/089976602753284446, eq. 2.4): it supposes
    that the classes look the same there, and probabilities that mean what they say.

    Args:
        probability: [N, K], the classifier's for each image.
        trained_prior: [K], the classes' frequencies that it was trained at, all above 0.

    Returns:
        [K], summing to 1.
    """
    _check_prior(trained_prior, probability.shape[1])
    if not len(probability):
        raise ValueError("no image to estimate a prior from")
    prior = trained_prior.astype(np.float64)
    for _ in range(_MOST_ROUNDS):
        weighed = probability * (prior / trained_prior)
        found: NDArray[np.float64] = (weighed / weighed.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(found - prior).max() < 1e-9:
            return found
        prior = found
    return prior


def correct_prior(
    logits: NDArray[np.floating], *, trained_prior: NDArray[np.float64], prior: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Logits that mean what they say at another frequency of the classes (doi:10.1162/089976602753284446, eq. 2.1).

    Args:
        logits: [N, 1] or [N, K]; NaN stays NaN.
        trained_prior: Frequencies that the classifier was trained at; [2], not referable and referable, for one logit.
        prior: Frequencies where it is used, all above 0.
    """
    num_outputs = logits.shape[1]
    for frequencies in (trained_prior, prior):
        _check_prior(frequencies, max(2, num_outputs))
    shift = np.log(prior) - np.log(trained_prior)
    moved = logits + (shift[1] - shift[0] if num_outputs == 1 else shift)
    return np.asarray(moved, dtype=np.float32)


def with_fellow_eyes(logits: NDArray[np.floating], fellow: NDArray[np.int64], *, share: float) -> NDArray[np.float32]:
    """Logits that hear a ``share`` of the patient's other eye: (1 - share) own + share fellow's.

    Args:
        logits: [N, K]; a row of NaN stays one, and its fellow's keeps its own.
        fellow: [N] the row of the other eye, or -1.
        share: In [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share {share} must be in [0, 1]")
    other = np.where(fellow[:, None] >= 0, logits[fellow], logits)
    mixed = (1 - share) * logits + share * np.where(np.isnan(other), logits, other)
    return np.asarray(mixed, dtype=np.float32)


def sure_rows(
    probability: NDArray[np.float64], *, least_confidence: float = 0.0, kept_share: float = 1.0
) -> NDArray[np.bool_]:
    """Which images' calls are sure enough to learn from, [N].

    Args:
        probability: [N, K]; a row of NaN is never kept.
        least_confidence: Least probability of the likeliest class.
        kept_share: In (0, 1]. Of the images of each called class this share is kept, the surest first: one threshold
            for all classes would keep those that the classifier is bolder about, and so change the prevalence.
    """
    if not 0 < kept_share <= 1:
        raise ValueError(f"kept_share {kept_share} must be above 0 and at most 1")
    is_known = ~np.isnan(probability).any(axis=1)
    confidence = np.where(is_known, np.nan_to_num(probability).max(axis=1), -1.0)
    call = np.nan_to_num(probability).argmax(axis=1)
    kept = np.zeros(len(probability), dtype=bool)
    for number in range(probability.shape[1]):
        rows = np.flatnonzero(is_known & (call == number))
        surest = rows[np.argsort(-confidence[rows], kind="stable")]
        kept[surest[: int(np.ceil(kept_share * len(rows)))]] = True
    return kept & (confidence >= least_confidence)


def _check_prior(prior: NDArray[np.float64], num_classes: int) -> None:
    if prior.shape != (num_classes,) or not (prior > 0).all() or abs(prior.sum() - 1) > 1e-6:
        raise ValueError(f"prior {prior.tolist()} must hold {num_classes} frequencies above 0 that sum to 1")
