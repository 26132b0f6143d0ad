"""A network's weights averaged over its training."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from raydr.engine.collectives import share_buffers

_NUM_UPDATES, _PREFIX = "num_updates", "weights."


class MovingAverage:
    """The exponential moving average of a network's weights, kept beside it: a <- d a + (1 - d) w after each update.

    As the teacher of arXiv:1703.01780, section 2; update t = 0, 1, … has the decay min(``decay``, (1 + t) / (10 + t)),
    so that the first, random weights are soon forgotten. Running batch statistics are averaged as the weights that
    they belong to are; whole numbers, such as counts of batches, are the network's.

    Args:
        network: On its device; it is followed, not changed, but for `put_in` and `keep`.
        decay: In (0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"decay {decay} must be above 0 and below 1")
        self._network, self._decay, self._num_updates = network, decay, 0
        self._weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def follow(self) -> None:
        """Take in the weights as they are now."""
        now = self._network.state_dict()
        decay = min(self._decay, (1 + self._num_updates) / (10 + self._num_updates))
        averaged = [name for name, tensor in now.items() if tensor.is_floating_point()]
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # few launches for all of them
        average([self._weights[name] for name in averaged], [now[name] for name in averaged], None)
        for name in now.keys() - set(averaged):
            self._weights[name].copy_(now[name])
        self._num_updates += 1

    def share(self, world_size: int) -> None:
        """Give every worker rank 0's average of what is no parameter; parameters are the same everywhere."""
        if world_size > 1:
            parameters = {name for name, _ in self._network.named_parameters()}
            for name, tensor in self._weights.items():
                if name not in parameters:
                    dist.broadcast(tensor, src=0)

    @contextlib.contextmanager
    def put_in(self) -> Iterator[None]:
        """The network with the average for its weights, until the context ends."""
        own = {name: tensor.clone() for name, tensor in self._network.state_dict().items()}
        self.keep()
        try:
            yield
        finally:
            self._network.load_state_dict(own)

    def keep(self) -> None:
        """Make the average the network's weights."""
        self._network.load_state_dict(self._weights)

    def state(self) -> dict[str, Tensor]:
        """A copy on the CPU of all that `load_state` needs."""
        weights = {
            f"{_PREFIX}{name}": tensor.to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in self._weights.items()
        }
        return {_NUM_UPDATES: torch.tensor(self._num_updates), **weights}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        self._num_updates = int(state[_NUM_UPDATES])
        for name, tensor in self._weights.items():
            tensor.copy_(state[f"{_PREFIX}{name}"])


def share_statistics(network: nn.Module, average: MovingAverage | None, world_size: int) -> None:
    """Give every worker rank 0's batch statistics, the average's too where there is one: they drift apart."""
    share_buffers(network, world_size)
    if average is not None:
        average.share(world_size)
