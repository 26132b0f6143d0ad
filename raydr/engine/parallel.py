"""A network on several workers: gradients averaged as they are computed."""

import contextlib

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from raydr.engine.accumulation import Scope
from raydr.engine.context import Context


def distributed(network: nn.Module, context: Context) -> nn.Module:
    """The network as its step calls it: gradients averaged over the workers where there are several."""
    if context.world_size == 1:
        return network
    devices = [context.device] if context.device.type == "cuda" else None
    # Buffers are shared where they are read or saved, not before every pass; gradients are averaged where they lie.
    return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False, gradient_as_bucket_view=True)


def no_sync(network: nn.Module) -> Scope:
    """Opens a context in which the workers' gradients stay apart, for what `distributed` returned."""
    return network.no_sync if isinstance(network, DistributedDataParallel) else contextlib.nullcontext
