"""What the workers of one training share: differentiable gathers and plain ones; no-ops for a single process."""

from collections.abc import Callable

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn


class _AllGather(torch.autograd.Function):
    """Rows of all workers in rank order; each worker's gradient is the sum of what all workers send back."""

    @staticmethod
    def forward(_ctx: torch.autograd.function.FunctionCtx, local: Tensor) -> Tensor:
        parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, local.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].clone(memory_format=torch.contiguous_format)  # others may hold the same tensor
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]


def differentiable_gather(world_size: int) -> Callable[[Tensor], Tensor]:
    """A function from this worker's rows [L, D] to all workers' [W*L, D], in rank order, gradients included.

    With the mean of the workers' losses as objective (what DDP's averaging makes of it) the gradient equals a single
    process's on the whole batch. Every worker must hold equally many rows.
    """
    if world_size == 1:
        return _identity

    def gather(local: Tensor) -> Tensor:
        gathered: Tensor = _AllGather.apply(local)
        return gathered

    return gather


def _identity(local: Tensor) -> Tensor:
    return local


def gather_rows(
    values: NDArray[np.float32], rows: NDArray[np.int64], world_size: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All workers' values [N, D] and their rows [N], sorted by row; shares may differ in length."""
    if world_size > 1:
        parts: list[tuple[NDArray[np.float32], NDArray[np.int64]] | None] = [None] * world_size
        dist.all_gather_object(parts, (values, rows))
        present = [part for part in parts if part is not None and len(part[1])]  # a worker may have no share
        values, rows = np.concatenate([p[0] for p in present]), np.concatenate([p[1] for p in present])
    order = np.argsort(rows, kind="stable")
    return values[order], rows[order]


def everybody(is_so: bool, world_size: int, device: torch.device) -> bool:  # noqa: FBT001
    """Whether it is so on every worker; all of them must ask."""
    if world_size == 1:
        return is_so
    answer = torch.tensor(float(is_so), device=device)
    dist.all_reduce(answer, op=dist.ReduceOp.MIN)
    return bool(answer)


def share_buffers(network: nn.Module, world_size: int) -> None:
    """Give every worker rank 0's buffers: batch statistics drift apart from one forward pass to the next."""
    if world_size > 1:
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)
