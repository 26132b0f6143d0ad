"""Two views of one image shall be nearer to each other than to all other images."""

import torch
import torch.nn.functional as F
from torch import Tensor

from raydr.losses.shapes import check_temperature, check_width


def nt_xent(
    queries: Tensor, keys: Tensor, *, own: Tensor, twin: Tensor, temperature: float, decoupled: bool = False
) -> Tensor:
    """Mean cross-entropy of finding each query's twin among all keys by cosine similarity (arXiv:2002.05709, eq. 1).

    Queries are [L, D], keys [W, D]; ``own`` [L] is each query's own row in ``keys``, which is left out, ``twin`` [L]
    the row of its other view. Keys may span workers: gathering is the caller's, and the mean of the workers' losses is
    the loss of the global batch. ``temperature`` must be positive. Reckoned in float32 even under autocast.

    ``decoupled`` leaves the twin out of the denominator (DCL, arXiv:2110.06848, eq. 6), whose gradient then does not
    fade where a twin is easily found, as it does in small batches. That loss may be negative and needs a second image.
    """
    check_temperature(temperature)
    check_width(queries, keys)
    if own.shape != (len(queries),) or twin.shape != (len(queries),):
        raise ValueError(f"own {tuple(own.shape)} and twin {tuple(twin.shape)} must name one key for every query")
    if decoupled and len(keys) < 3:
        raise ValueError(
            f"keys {tuple(keys.shape)} must be those of two images at least: without others nothing is left"
        )
    # bfloat16 knows cosines to 0.004; divided by a temperature of 0.07 that would be an error of 0.06 in every logit.
    with torch.autocast(queries.device.type, enabled=False):
        similarity = F.normalize(queries.float(), dim=1) @ F.normalize(keys.float(), dim=1).T / temperature
        others = similarity.scatter(1, own[:, None], float("-inf"))
        if not decoupled:
            return F.cross_entropy(others, twin)
        found = similarity.gather(1, twin[:, None])[:, 0]
        return (others.scatter(1, twin[:, None], float("-inf")).logsumexp(dim=1) - found).mean()
