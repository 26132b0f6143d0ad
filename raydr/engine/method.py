"""A self-supervised method, ready to train."""

import contextlib
from dataclasses import dataclass

from torch import nn

from raydr.engine.accumulation import Scope
from raydr.engine.step import Step
from raydr.models.embedding import EmbeddingNetwork


@dataclass(frozen=True, slots=True)
class Method:
    """What a method trains, how, and what is kept of it."""

    network: nn.Module
    """All that a saved state holds: momentum networks and centres too."""
    encoder: EmbeddingNetwork
    """The part of it whose backbone is probed and saved."""
    step: Step
    no_sync: Scope = contextlib.nullcontext
    """Opens DDP's context in which workers keep their gradients to themselves."""
