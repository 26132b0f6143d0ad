"""MAE's step."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raydr.engine.batch import Batch
from raydr.engine.step import Outputs, Step, View
from raydr.images.transfer import sent
from raydr.losses.reconstruction import masked_error, patches, standardised
from raydr.models.masked_autoencoder import MaskedAutoencoder


@dataclass(frozen=True, slots=True)
class MaeStep(Step):
    """MAE (arXiv:2111.06377): from a few patches of a picture the pixels of the others are told."""

    network: MaskedAutoencoder
    reconstruct: nn.Module
    """The same network, gradients averaged over workers."""
    view: View
    hidden_fraction: float

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """Pixels told [B, N, P^2 * 3], those that are there, and 1 where a patch was hidden, else 0, [B, N]."""
        image = self.view(batch.image, generator)
        count = self.network.num_patches(image.shape[-1])
        num_visible = max(1, int(count * (1 - self.hidden_fraction)))
        order = sent(random_order(len(image), count, generator), image.device)
        told = self.reconstruct(image, order, num_visible)
        there = standardised(patches(self.network.padded(image), side_px=self.network.patch_px))
        return told, there, (order.argsort(dim=1) >= num_visible).float()

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:  # noqa: ARG002
        """Mean squared error over the hidden patches."""
        told, there, is_hidden = outputs
        return masked_error(told, there.detach(), is_hidden.detach() > 0)


def random_order(num_images: int, num_patches: int, generator: torch.Generator) -> Tensor:
    """A permutation of the patches for every image, int64 [B, N], on the generator's device."""
    return torch.rand(num_images, num_patches, generator=generator, device=generator.device).argsort(dim=1)
