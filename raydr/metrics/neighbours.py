"""What frozen embeddings are worth before any head is trained."""

import math

import numpy as np
from numpy.typing import NDArray

_CHUNK_CELLS = 16_000_000  # similarities held at once: 64 MB in float32


def knn_scores(
    bank: NDArray[np.float32],
    bank_truth: NDArray[np.generic],
    queries: NDArray[np.float32],
    *,
    num_neighbours: int = 20,
    temperature: float = 0.07,
) -> NDArray[np.float64]:
    """Share of the weighted vote for "positive" of each query's nearest neighbours (arXiv:1805.01978, section 3.4).

    Neighbours are the ``num_neighbours`` of the labelled bank [N, D] with the highest cosine similarity s, the whole
    bank where it is smaller; each votes with the weight exp(s / temperature). Queries are [M, D], scores [M].
    """
    is_positive = np.asarray(bank_truth, dtype=bool)
    if bank.ndim != 2 or queries.ndim != 2 or bank.shape[1] != queries.shape[1] or len(bank) != len(is_positive):
        raise ValueError(
            f"bank {bank.shape}, its truth {is_positive.shape} and queries {queries.shape} do not fit together"
        )
    if not len(bank):
        raise ValueError("the bank is empty: no neighbour can vote")
    if num_neighbours < 1 or not temperature > 0:
        raise ValueError(f"num_neighbours {num_neighbours} and temperature {temperature} must be positive")
    num_neighbours = min(num_neighbours, len(bank))
    directions = _unit_rows(bank).T
    scores = np.empty(len(queries))
    rows = max(1, _CHUNK_CELLS // len(bank))
    for start in range(0, len(queries), rows):
        similarity = _unit_rows(queries[start : start + rows]) @ directions
        nearest = np.argpartition(-similarity, num_neighbours - 1, axis=1)[:, :num_neighbours]
        closeness = np.take_along_axis(similarity, nearest, axis=1).astype(np.float64)
        # The largest exponent is taken out so that a low temperature cannot overflow; the share does not change.
        votes = np.exp((closeness - closeness.max(axis=1, keepdims=True)) / temperature)
        scores[start : start + rows] = (votes * is_positive[nearest]).sum(axis=1) / votes.sum(axis=1)
    return scores


def effective_rank(embeddings: NDArray[np.floating]) -> float:
    """exp(entropy) of the singular values' shares (Roy and Vetterli, EUSIPCO 2007): how many directions are in use.

    It lies between 1 (collapsed) and min(N, D). NaN for a matrix of zeros, whose directions have no shares.
    """
    values = np.linalg.svd(np.asarray(embeddings, dtype=np.float64), compute_uv=False)
    total = float(values.sum())
    if not total > 0:
        return math.nan
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _unit_rows(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length one; a row of zeros stays, equally far from everything."""
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return (matrix / np.where(lengths > 0, lengths, 1)).astype(np.float32)
