"""What a learning worker is told beside its settings and its images."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from raydr.config.learning import OptimSettings
from raydr.engine.fit import FitPlan
from raydr.images.preprocess import Preprocess


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where the model goes and what it is made from."""

    preprocess: Preprocess
    model_folder: str | None
    """Where rank 0 writes the finished model; None for a trial, of which only the metrics are wanted."""
    seed: int
    settings_digest: str
    provenance: Mapping[str, str] = field(default_factory=dict)
    patients: Mapping[int, int] = field(default_factory=dict)
    """From a validation image's row to a number of its patient; an image that is not here is a patient of its own."""
    save_every_steps: int | None = None
    save_every_s: float | None = None
    """Between saved states in the middle of an epoch."""

    def plan(self, optim: OptimSettings, *, keep_best: str | None) -> FitPlan:
        """The training plan of these settings."""
        return FitPlan(
            epochs=optim.epochs,
            warmup_fraction=optim.warmup_fraction,
            gradient_clip=optim.gradient_clip,
            precision=optim.precision,
            seed=self.seed,
            settings_digest=self.settings_digest,
            keep_best=keep_best,
            images_at_once=optim.images_at_once,
            save_every_steps=self.save_every_steps,
            save_every_s=self.save_every_s,
            ema_decay=optim.ema_decay,
        )


def seed_weights(seed: int) -> None:
    """Seed the initial weights: the same on every worker and in every attempt."""
    torch.manual_seed(seed)
