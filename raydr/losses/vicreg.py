"""Two views of one image shall agree, every feature shall vary, and no two features shall say the same."""

import torch
import torch.nn.functional as F
from torch import Tensor


def invariance(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference of two views' embeddings [L, D] (arXiv:2105.04906, eq. 5).

    Averaged over the dimensions too, as in the paper's algorithm 1: eq. 5 as printed sums over them, but the published
    weights belong to the mean. The mean of the workers' values is the global batch's.
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"embeddings {tuple(first.shape)} and {tuple(second.shape)} must be matrices of one shape")
    return F.mse_loss(first.float(), second.float())


def variance_hinge(embeddings: Tensor, *, target: float = 1.0, epsilon: float = 1e-4) -> Tensor:
    """Mean over the dimensions of how far each one's standard deviation is below ``target`` (eq. 1 and 2).

    Embeddings are all workers' [N, D], N >= 2; their variance is the unbiased one, and ``epsilon`` keeps its root
    smooth at 0. Eq. 6 adds this of both views; the authors' code halves it.
    """
    _check(embeddings)
    with torch.autocast(embeddings.device.type, enabled=False):
        deviation = (embeddings.float().var(dim=0) + epsilon).sqrt()
        return F.relu(target - deviation).mean()


def covariance(embeddings: Tensor) -> Tensor:
    """Sum of the squared covariances between different dimensions, divided by their number D (eq. 3 and 4).

    Embeddings are all workers' [N, D], N >= 2. Reckoned in float32 even under autocast.
    """
    _check(embeddings)
    with torch.autocast(embeddings.device.type, enabled=False):
        centred = embeddings.float() - embeddings.float().mean(dim=0)
        matrix = centred.T @ centred / (len(centred) - 1)
        return (matrix.square().sum() - matrix.diagonal().square().sum()) / matrix.shape[0]


def _check(embeddings: Tensor) -> None:
    if embeddings.ndim != 2 or len(embeddings) < 2:
        raise ValueError(f"embeddings {tuple(embeddings.shape)} must be a matrix of at least two rows")
