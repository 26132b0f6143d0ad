"""A network's outputs over whole sets of images, every image once whatever the number of workers."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raydr.engine.batch import Pool
from raydr.engine.collectives import gather_rows
from raydr.images.dihedral import NumViews, dihedral_views


def score_share(
    network: Callable[[Tensor], Tensor], share: Pool, *, device: torch.device, batch_size: int = 64
) -> NDArray[np.float32]:
    """Outputs [N, D] of a network in evaluation mode for this worker's images."""
    found = []
    with torch.inference_mode():
        for batch in share.batches(batch_size):
            image = batch.image.to(device).float().div_(255)
            found.append(network(image).float().cpu().numpy())
    return np.concatenate(found) if found else np.empty((0, 0), dtype=np.float32)


def score_everywhere(
    network: Callable[[Tensor], Tensor],
    pool: Pool,
    *,
    rank: int,
    world_size: int,
    device: torch.device,
    batch_size: int = 64,
) -> NDArray[np.float32]:
    """Outputs [N, D] in the pool's order, computed by all workers together; every worker holds the whole pool."""
    share = pool.share(rank, world_size)
    place = np.arange(len(pool), dtype=np.int64)[rank::world_size]
    values, places = gather_rows(score_share(network, share, device=device, batch_size=batch_size), place, world_size)
    if not np.array_equal(places, np.arange(len(pool))):
        raise RuntimeError(f"{len(places)} of {len(pool)} images were scored")
    return values


def mean_logits(networks: Sequence[Callable[[Tensor], Tensor]], image: Tensor, num_views: NumViews) -> Tensor:
    """Mean float32 logits [B, outputs] of images [B, 3, S, S] in [0, 1], over networks, flips and quarter turns."""
    views = dihedral_views(image, num_views)
    return torch.stack([network(view).float() for network in networks for view in views]).mean(dim=0)
