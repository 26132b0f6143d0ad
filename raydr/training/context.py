"""Ray Train's implementation of the engine's Context."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import ray.train
import ray.train.torch
import torch

from raydr.engine.context import SaveState


class RayContext:
    """One Ray Train worker's rank, device, reports and resumption."""

    @property
    def rank(self) -> int:
        """This worker's number."""
        return int(ray.train.get_context().get_world_rank())

    @property
    def world_size(self) -> int:
        """Number of workers."""
        return int(ray.train.get_context().get_world_size())

    @property
    def device(self) -> torch.device:
        """The device that Ray gave this worker."""
        return ray.train.torch.get_device()

    def report(self, metrics: Mapping[str, float], save_state: SaveState) -> None:
        """Hand the metrics to the controller, rank 0's with a checkpoint; a barrier."""
        with tempfile.TemporaryDirectory(prefix="raydr-state-") as scratch:
            checkpoint = None
            if self.rank == 0:
                save_state(Path(scratch))
                checkpoint = ray.train.Checkpoint.from_directory(scratch)
            ray.train.report(
                dict(metrics), checkpoint=checkpoint, checkpoint_dir_name=f"epoch_{int(metrics['epoch']):05d}"
            )

    @contextlib.contextmanager
    def resume(self) -> Iterator[Path | None]:
        """The run's newest checkpoint."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            yield None
            return
        with checkpoint.as_directory() as folder:
            yield Path(folder)
