"""What contexts of a training that is one task of Ray have in common."""

from collections.abc import Mapping

import ray
import torch

from raydr.engine.wish import Wish


class SingleContext:
    """The part of the engine's Context that concerns others: there are none, and nobody looks on."""

    rank = 0
    world_size = 1

    @property
    def device(self) -> torch.device:
        """The task's GPU if it was given one."""
        return torch.device("cuda" if ray.get_gpu_ids() else "cpu")

    def wish(self) -> Wish:
        """Nobody tells it to stop."""
        return Wish.GO_ON

    def tell(self, figures: Mapping[str, float]) -> None:
        """It is followed by its epochs."""
