"""What both ranks do in the tests of batch statistics over workers and of shuffling."""

import numpy as np
import torch
from torch import nn

from raydr.engine.collectives import differentiable_gather
from raydr.engine.shuffle import shuffled, unshuffled
from raydr.models.batch_norm import synced

COUNTS = (5, 3)
"""Images of each rank; statistics weigh every image the same."""


def values(dims: int) -> torch.Tensor:
    """Float32 [8, 3, …] far from zero, where a difference of large sums would be lost."""
    draw = np.random.default_rng(1)
    shape = (sum(COUNTS), 3, *[4] * (dims - 2))
    return torch.from_numpy((1000 + draw.normal(0, 2, shape)).astype(np.float32))


def layer(dims: int) -> nn.Module:
    torch.manual_seed(0)
    made = nn.BatchNorm1d(3) if dims == 2 else nn.BatchNorm2d(3)
    nn.init.normal_(made.weight)
    nn.init.normal_(made.bias)
    return made


def statistics_of(dims: int, rank: int | None) -> dict[str, np.ndarray]:
    """Outputs, gradients and running statistics of one rank's rows, or (None) of all in one process."""
    rows = slice(None) if rank is None else slice(*((0, COUNTS[0]), (COUNTS[0], sum(COUNTS)))[rank])
    norm = layer(dims)
    if rank is not None:
        norm = synced(norm, differentiable_gather(2), torch.device("cpu"))
    given = values(dims)[rows].requires_grad_()
    found = norm(given)
    (found * torch.sin(torch.arange(values(dims).numel()).view(values(dims).shape)[rows])).sum().backward()
    return {
        "output": found.detach().numpy(),
        "gradient": given.grad.numpy(),  # type: ignore[union-attr]
        "weight": norm.weight.grad.numpy(),
        "mean": norm.running_mean.numpy(),
        "var": norm.running_var.numpy(),
    }


def statistics_on_a_rank(rank: int) -> dict[int, dict[str, np.ndarray]]:
    return {dims: statistics_of(dims, rank) for dims in (2, 4)}


def shuffling_on_a_rank(rank: int) -> dict[str, object]:
    """Keys of this rank's own images and which images its network saw, in two passes."""
    count = 6
    seen: list[list[int]] = []

    class Noting(nn.Module):
        def forward(self, view: torch.Tensor) -> torch.Tensor:
            seen.append(view[:, 0, 0, 0].long().tolist())
            return view.mean(dim=(2, 3)) * 2

    image = torch.arange(rank * count, (rank + 1) * count).float()[:, None, None, None].expand(count, 3, 2, 2)
    generator = torch.Generator().manual_seed(rank)
    embed = shuffled(Noting(), rank=rank, world_size=2)
    keys = [embed(image, generator) for _ in range(2)]
    expected = unshuffled(Noting())(image, generator)
    after = torch.Generator().manual_seed(rank)
    for _ in range(2):
        torch.randperm(2 * count, generator=after)
    return {
        "seen": seen[:2],
        "in_order": all(torch.equal(found, expected) for found in keys),
        "generator": torch.equal(generator.get_state(), after.get_state()),
    }
