"""Ray Train's implementation of the engine's Context."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import ray.train
import ray.train.torch
import torch

from raydr.engine.context import SaveState, Wish


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

    def wish(self) -> Wish:
        """Go on."""
        return Wish.GO_ON

    def tell(self, figures: Mapping[str, float]) -> None:
        """Let them go."""

    def keep(self, step: int, save_state: SaveState) -> None:
        """Hand rank 0's checkpoint to the controller; a barrier."""

    def states(self) -> Iterator[contextlib.AbstractContextManager[Path]]:
        """The run's newest checkpoint."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is not None:
            yield _opened(checkpoint)


@contextlib.contextmanager
def _opened(checkpoint: ray.train.Checkpoint) -> Iterator[Path]:
    with checkpoint.as_directory() as folder:
        yield Path(folder)
