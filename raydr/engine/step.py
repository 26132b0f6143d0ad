"""How a batch becomes a loss: in two parts, so that a large batch can go through the network in pieces."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from raydr.engine.batch import Batch

View = Callable[[Tensor, torch.Generator], Tensor]
"""A random view: uint8 [B, 3, S, S] and a generator in, float [B, 3, S, S] in [0, 1] out."""


class CroppingView(Protocol):
    """A random view of which narrower ones can be had; `raydr.images.augment.Augmentation` is one."""

    def __call__(self, image: Tensor, generator: torch.Generator, /) -> Tensor:
        """As any view."""

    def cropped(self, *, area: tuple[float, float], side_px: int) -> View:
        """Views of a share of the picture within ``area``, seen with a side of ``side_px``."""


Outputs = tuple[Tensor, ...]
"""What the networks made of a batch: tensors with one row an image, [B, ...]."""


class Step(Protocol):
    """One batch's loss on this worker's part of it. A step owns its collaborators and knows no settings."""

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """What the networks make of random views; all randomness comes from the generator and from dropout's own.

        An image's rows depend on that image alone (batch statistics apart), so that outputs of parts of a batch can be
        put together again.
        """

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The loss of all rows together, to be averaged over workers; a gather over workers happens here."""

    def advance(self, progress: float) -> None:  # noqa: ARG002
        """Called after each update of the weights: momentum networks follow. ``progress`` in [0, 1] is of the run."""
        return
