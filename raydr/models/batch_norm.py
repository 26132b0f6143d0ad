"""Batch normalisation by the statistics of all workers' images."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Gather = Callable[[Tensor], Tensor]
"""Rows [1, D] of this worker to all workers' [W, D], gradients included."""


def synced(network: nn.Module, gather: Gather, device: torch.device) -> nn.Module:
    """The network with every batch normalisation over all workers' images, in forward and in backward.

    On CUDA it is torch's, which knows the running process group; elsewhere, where torch has none, `SyncedBatchNorm`.
    Parameters are kept as they are and so are the names in the state. ``gather`` is for the latter.
    """
    if device.type == "cuda":  # timm's conversion is torch's that keeps timm's activations
        converted: nn.Module = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    if isinstance(network, _BatchNorm):
        return SyncedBatchNorm(network, gather)
    for name, child in network.named_children():
        setattr(network, name, synced(child, gather, device))
    return network


class SyncedBatchNorm(_BatchNorm):
    """One layer's batch normalisation over all workers' images, in its place and with its parameters.

    Each worker's mean, variance and count are gathered, once a pass, and put together (Chan et al. 1979, eq. 2.1), so
    that large means cost no precision. What stands inside the layer, as timm's dropout and activation, comes after it.
    """

    def __init__(self, replaced: _BatchNorm, gather: Gather) -> None:
        super().__init__(
            replaced.num_features, replaced.eps, replaced.momentum, replaced.affine, replaced.track_running_stats
        )
        self.gather = gather
        self.weight, self.bias = replaced.weight, replaced.bias
        self.running_mean, self.running_var = replaced.running_mean, replaced.running_var
        self.num_batches_tracked = replaced.num_batches_tracked
        for name, child in replaced.named_children():
            self.add_module(name, child)
        self.train(replaced.training)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Normalised [B, C, ...] of values [B, C, ...], in their own precision."""
        if input.ndim < 2:
            raise ValueError(f"values {tuple(input.shape)} must be [B, C, ...]")
        if self.training or self.running_mean is None:
            values = self._normalised(input)
        else:
            values = F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        for child in self.children():
            values = child(values)
        return values

    def _normalised(self, values: Tensor) -> Tensor:
        wide = values if values.dtype == torch.float64 else values.float()
        mean, variance = self._statistics(wide)
        shape = (1, -1, *[1] * (values.ndim - 2))
        found = (wide - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            found = found * self.weight.view(shape) + self.bias.view(shape)
        return found.to(values.dtype)

    def _statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance [C] over all workers; the running ones take them in."""
        num_values = values.numel() // values.shape[1]
        variance, mean = torch.var_mean(values, dim=[0, *range(2, values.ndim)], correction=0)
        gathered = self.gather(torch.cat([mean, variance, mean.new_tensor([num_values])])[None])
        means, variances = gathered[:, : self.num_features], gathered[:, self.num_features : -1]
        counts = gathered[:, -1:].detach()
        total = counts.sum()
        shares = counts / total
        mean = (shares * means).sum(dim=0)
        variance = (shares * (variances + (means - mean) ** 2)).sum(dim=0)
        if self.training and self.track_running_stats and self.running_mean is not None:
            self._take_in(mean.detach(), variance.detach() * total / (total - 1))
        return mean, variance

    def _take_in(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None  # noqa: S101
        assert self.running_var is not None  # noqa: S101
        assert self.num_batches_tracked is not None  # noqa: S101
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)
