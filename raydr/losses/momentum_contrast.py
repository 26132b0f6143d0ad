"""A query shall be nearer to the key of its image's other view than to the keys of all other images."""

import torch
import torch.nn.functional as F
from torch import Tensor

from raydr.losses.shapes import check_temperature, check_width


def momentum_contrast(queries: Tensor, keys: Tensor, *, twin: Tensor, temperature: float) -> Tensor:
    """Mean InfoNCE of queries against a momentum network's keys, times 2 tau (arXiv:2104.02057, eq. 1, algorithm 1).

    Queries are [L, D], keys [W, D], of the other view; ``twin`` [L] is the row of each query's own image in ``keys``.
    The keys are detached and may span workers: gathering is the caller's, and the mean of the workers' losses is the
    global batch's. The paper's loss is the sum over both directions of the views. The factor 2 tau keeps the gradient's
    scale as tau changes. Reckoned in float32 even under autocast.

    Raises:
        ValueError: ``temperature`` is not positive, or the shapes do not fit.
    """
    check_temperature(temperature)
    check_width(queries, keys)
    if twin.shape != (len(queries),):
        raise ValueError(f"twin {tuple(twin.shape)} must name one key for every query")
    with torch.autocast(queries.device.type, enabled=False):
        similarity = F.normalize(queries.float(), dim=1) @ F.normalize(keys.detach().float(), dim=1).T
        return 2 * temperature * F.cross_entropy(similarity / temperature, twin)
