"""The gradient of a batch that does not fit the device at once."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from raydr.engine.batch import Batch
from raydr.engine.step import Step

Scope = Callable[[], contextlib.AbstractContextManager[object]]
"""Opens a context: autocast, or DDP's `no_sync`."""


@dataclass(frozen=True, slots=True)
class Passes:
    """How forward and backward passes are run."""

    network: nn.Module
    """All that the step trains or carries along; its running statistics take in every image once."""
    autocast: Scope = contextlib.nullcontext
    no_sync: Scope = contextlib.nullcontext
    """Keeps the workers' gradients apart."""
    images_at_once: int | None = None
    """On this worker; None: the whole batch."""


def backward(step: Step, batch: Batch, generator: torch.Generator, passes: Passes) -> Tensor:
    """Add the gradient of a batch's loss to the parameters' and return the loss, detached.

    In pieces of ``images_at_once`` the gradient is that of the whole batch's loss, also where the loss compares every
    image with every other: the outputs are computed piece by piece without a graph, the loss's gradient with respect
    to them at once, and each piece is run again to send its part of it further back (cached gradients,
    arXiv:2101.06983, section 3). Batch statistics and dropout are a piece's own, as they are a worker's own.
    """
    if passes.images_at_once is None or passes.images_at_once >= len(batch.row):
        with passes.autocast():
            loss = step.loss(step.outputs(batch, generator), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()
    pieces = list(batch.pieces(passes.images_at_once))
    randomness, found = [], []
    with torch.no_grad(), _statistics_kept(passes.network):
        for piece in pieces:
            randomness.append(_Randomness.now(generator, batch.image.device))
            with passes.autocast():
                found.append(step.outputs(piece, generator))
    after = _Randomness.now(generator, batch.image.device)
    whole = tuple(torch.cat(parts).requires_grad_() for parts in zip(*found, strict=True))
    with passes.autocast():
        loss = step.loss(whole, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    start = 0
    for number, piece in enumerate(pieces):
        randomness[number].restore(generator, batch.image.device)
        rows = slice(start, start + len(piece.row))
        start = rows.stop
        is_last = number == len(pieces) - 1
        with contextlib.nullcontext() if is_last else passes.no_sync():
            with passes.autocast():
                outputs = step.outputs(piece, generator)
            sent = [
                (output, cached.grad[rows])
                for output, cached in zip(outputs, whole, strict=True)
                if output.requires_grad and cached.grad is not None
            ]
            torch.autograd.backward([output for output, _ in sent], [gradient for _, gradient in sent])
    after.restore(generator, batch.image.device)
    return loss.detach()


@dataclass(frozen=True, slots=True)
class _Randomness:
    """Where the generators stand: of the views, and the global ones that dropout draws from."""

    views: Tensor
    cpu: Tensor
    device: Tensor | None

    @classmethod
    def now(cls, generator: torch.Generator, device: torch.device) -> "_Randomness":
        on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(generator.get_state(), torch.get_rng_state(), on_device)

    def restore(self, generator: torch.Generator, device: torch.device) -> None:
        generator.set_state(self.views)
        torch.set_rng_state(self.cpu)
        if self.device is not None:
            torch.cuda.set_rng_state(self.device, device)


@contextlib.contextmanager
def _statistics_kept(network: nn.Module) -> Iterator[None]:
    """Batch normalisation by the batch at hand that leaves the running statistics alone."""
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
