"""One trial: a student trained inside its Tune process, its validation AUC reported and its state kept every epoch."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.fs as pafs
import torch
from ray import tune

from raydr import storage
from raydr.config.override import with_overrides
from raydr.config.stages import DistillStage
from raydr.engine.batch import Pool
from raydr.engine.context import SaveState
from raydr.engine.sources import ShuffledPool, local_batch_size
from raydr.learning.assignment import Assignment
from raydr.learning.distil import DistilImages, Teaching, distil
from raydr.learning.validation import VALIDATION_AUC
from raydr.training.single import SingleContext
from raydr.training.states import NUM_RESUMABLE, SavedStates

ROW: Final = "row"
"""An epoch's metrics in what a trial reports, apart from what Tune puts beside them."""
EPOCHS_DONE: Final = "epochs_done"
"""The clock of schedulers; Tune's own starts at 1 with every attempt."""


@dataclass(frozen=True, slots=True)
class TrialImages:
    """What all trials share in the object store."""

    pool: Pool
    labelled: Pool
    validation: Pool


def folder_prefix(number: int) -> str:
    """How the names of a trial's folders begin, one of each attempt at the search."""
    return f"trial-{number:05d}-"


class TuneContext(SingleContext):
    """Ray Tune's implementation of the engine's Context.

    Args:
        folder: Of the search, where earlier attempts at it have left states.
        number: Of the trial.
        known_epochs: That are recorded of it; a state may have more, reported as the driver died.
    """

    def __init__(self, folder: str, number: int, known_epochs: int) -> None:
        self._folder, self._number, self._known_epochs = folder, number, known_epochs

    def report(self, metrics: Mapping[str, float], save_state: SaveState) -> None:
        """Hand metrics and state to the scheduler, which may end the trial here."""
        with tempfile.TemporaryDirectory(prefix="raydr-state-") as scratch:
            save_state(Path(scratch))
            tune.report(as_result(metrics), checkpoint=tune.Checkpoint.from_directory(scratch))

    def keep(self, step: int, save_state: SaveState) -> None:
        """Nothing is kept between epochs."""

    def states(self) -> Iterator[contextlib.AbstractContextManager[Path]]:
        """The state that Tune hands a trial which crashed or is to go on from another's, else earlier attempts'."""
        if (checkpoint := tune.get_checkpoint()) is not None:
            yield _as_folder(checkpoint)
        found = sorted(self._earlier(), key=lambda one: -one[0])[:NUM_RESUMABLE]
        if found and checkpoint is None:
            self._catch_up(found[0][1].describe(found[0][2]))
        for _, states, name in found:
            yield states.open(name)

    def _earlier(self) -> Iterator[tuple[int, SavedStates, str]]:
        """Epochs, place and name of every state of this trial."""
        system, path = storage.locate(self._folder)
        for info in system.get_file_info(pafs.FileSelector(path, allow_not_found=True)):
            if info.base_name.startswith(folder_prefix(self._number)):
                states = SavedStates(system, info.path)
                for name in states.names():
                    with contextlib.suppress(OSError, ValueError, KeyError):
                        yield int(states.describe(name)["epochs_done"]), states, name

    def _catch_up(self, description: Mapping[str, Any]) -> None:
        """Report the epochs that the driver did not hear of before it died."""
        for row in description["history"]:
            if int(row["epoch"]) >= self._known_epochs:
                tune.report(as_result(row))


def run_trial(
    config: dict[str, Any],
    *,
    settings: dict[str, Any],
    images: TrialImages,
    teaching: Teaching,
    assignment: Assignment,
    num_threads: int,
    folder: str,
) -> None:
    """Train one student with the sampled settings."""
    torch.set_num_threads(num_threads)
    trial = config["trial"]
    stage = with_overrides(DistillStage.model_validate(settings), trial["sample"])
    source = ShuffledPool(
        images.pool, local_batch_size(len(images.pool), stage.optim.batch_size, 1), seed=assignment.seed
    )
    context = TuneContext(folder, trial["number"], trial["epochs"])
    distil(stage, DistilImages(source, images.labelled, images.validation), teaching, assignment, context)


def as_result(metrics: Mapping[str, float]) -> dict[str, Any]:
    """An epoch's metrics as schedulers and the driver read them."""
    return {ROW: dict(metrics), EPOCHS_DONE: int(metrics["epoch"]) + 1, VALIDATION_AUC: metrics[VALIDATION_AUC]}


@contextlib.contextmanager
def _as_folder(checkpoint: tune.Checkpoint) -> Iterator[Path]:
    with checkpoint.as_directory() as folder:
        yield Path(folder)
