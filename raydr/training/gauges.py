"""Figures of the moment for Prometheus, beside the metrics that every Ray node exports of itself."""

import math
from collections.abc import Mapping
from typing import Final

from ray.util.metrics import Gauge

PREFIX: Final = "ray_"
"""Which Ray puts before the names of gauges."""

TRAINING_GAUGES: Final = {
    "images_per_s": ("raydr_images_per_second", "Images a second over all workers of a training"),
    "data_wait": ("raydr_data_wait_share", "Share of the time, 0 to 1, that rank 0 of a training waits for images"),
    "loss": ("raydr_loss", "Loss of a training's newest step, the mean of its workers"),
    "eta_s": ("raydr_seconds_left", "Seconds until a training's last epoch is done, at its pace of the moment"),
}
"""What rank 0 tells, by the engine's name of it: the gauge's name and what it shows."""

SEARCH_GAUGES: Final = {
    "running": ("raydr_trials_running", "Trials of a search that are begun and not over"),
    "done": ("raydr_trials_done", "Trials of a search that came to their end or to the scheduler's"),
    "failed": ("raydr_trials_failed", "Trials of a search that have failed for good"),
    "best_auc": ("raydr_best_validation_auc", "The highest validation AUC of a search so far"),
}
"""What the driver of a search shows."""


class Gauges:
    """Figures of one training or search as gauges with the label `run`; they are shown until their process ends.

    Args:
        gauges: Name and description of each gauge, by the name of its figure.
        run: Of the training or search.
    """

    def __init__(self, gauges: Mapping[str, tuple[str, str]], run: str) -> None:
        self._gauges = {
            figure: Gauge(name, description, ("run",)).set_default_tags({"run": run})
            for figure, (name, description) in gauges.items()
        }

    def show(self, figures: Mapping[str, float]) -> None:
        """Show those of the figures that have a gauge and are numbers, in place of those before."""
        for figure, gauge in self._gauges.items():
            if math.isfinite(value := figures.get(figure, math.nan)):
                gauge.set(value)
