"""A trial of several workers: a training on Ray Train inside a Tune trial, which ends after its workers."""

import queue
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import ray.data
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.result import DONE

from raydr import storage
from raydr.config.override import with_overrides
from raydr.config.site import ClusterSettings
from raydr.config.stages import DistillStage
from raydr.errors import StoppedRun
from raydr.learning.assignment import Assignment
from raydr.search.trial import ROW, as_result, folder_prefix
from raydr.training.states import SavedStates
from raydr.training.stopping import StopSignals
from raydr.training.teacher import Teacher
from raydr.training.trainer import train
from raydr.training.worker import STREAM, Work

_LOOK_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class SharedImages:
    """What all trials of several workers share: datasets that are held in the object store, by name."""

    datasets: Mapping[str, ray.data.Dataset]
    num_streamed: int
    teacher: Teacher
    cluster: ClusterSettings
    """A trial's share of the cluster: its workers and what each gets."""


class NestedTrial(tune.Trainable):
    """One trial; a step is an epoch.

    A class, not a function: Tune waits for `cleanup` before it lets a trial go, so the workers of one that is stopped
    end in good order and their placement group with them. A function's process is killed at once, and what frees the
    group then asks Ray's State API, which a cluster without a dashboard has not got.
    """

    def setup(  # type: ignore[override]  # `tune.with_parameters` gives the rest
        self,
        config: dict[str, Any],
        *,
        settings: dict[str, Any],
        shared: SharedImages,
        assignment: Assignment,
        folder: str,
    ) -> None:
        """Start the training, from the newest state that an earlier attempt has left."""
        trial = config["trial"]
        stage = with_overrides(DistillStage.model_validate(settings), trial["sample"])
        name = _folder_name(trial["number"])
        self._states = storage.join(folder, name)
        storage.delete_file(_farewell_of(self._states))  # an earlier attempt's
        self._rows: queue.SimpleQueue[Mapping[str, float] | None] = queue.SimpleQueue()
        self._last: dict[str, Any] = {}
        self._error: BaseException | None = None
        self._signals = StopSignals()
        state = SavedStates(*storage.locate(self._states)).describe_newest()
        if state and state["history"]:
            self._last = as_result(state["history"][-1])
            for row in state["history"][trial["epochs"] :]:  # the driver did not hear of them
                self._rows.put(row)
        work = Work(
            loop="distil",
            settings=stage.model_dump(mode="json"),
            assignment=assignment,
            num_streamed=shared.num_streamed,
            whole=tuple(key for key in shared.datasets if key != STREAM),
            threads=shared.cluster.threads_per_worker,
            teacher=shared.teacher,
        )

        def run() -> None:
            try:
                train(
                    work,
                    shared.datasets,
                    shared.cluster,
                    folder=folder,
                    name=name,
                    on_epoch=self._rows.put,
                    signals=self._signals,
                )
            except StoppedRun:
                pass
            except BaseException as error:  # noqa: BLE001 - `step` raises it
                self._error = error
            finally:
                self._rows.put(None)

        self._thread = threading.Thread(target=run, name="raydr-nested", daemon=True)
        self._thread.start()

    def step(self) -> dict[str, Any]:
        """The next epoch's metrics; after the last one word that the trial is done."""
        row = self._rows.get()
        if row is not None:
            self._last = as_result(row)
            return self._last
        if self._error is not None:
            raise self._error
        # Schedulers want their metric in every result, this one's too, which is of no epoch of its own.
        return {name: value for name, value in self._last.items() if name != ROW} | {DONE: True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the training keeps its own states."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing: the training finds its own states."""

    def cleanup(self) -> None:
        """End the training, wait until its workers are gone and say so; the driver may not be done with its states."""
        self._signals.received = signal.SIGTERM
        self._thread.join()
        storage.write_bytes(_farewell_of(self._states), b"")


class Farewell(tune.Callback):
    """Deletes the states of trials that are done and whose workers are gone, and waits for those of the last trials.

    Tune ends every process ten seconds after the search, workers too that are still to end in good order.

    Args:
        folder: Of the search, where trials have their states.
        patience_s: How long it waits at most.
    """

    def __init__(self, folder: str, patience_s: float = 90.0) -> None:
        self._folder, self._patience_s = folder, patience_s
        self._gone: set[int] = set()

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:  # noqa: ARG002 - Tune's signature
        """Delete what can be; wait where there is no trial under way."""
        is_over = all(trial.status in (Trial.TERMINATED, Trial.ERROR) for trial in trials)
        give_up = time.monotonic() + (self._patience_s if is_over else 0.0)
        while self._left(trials) and time.monotonic() < give_up:
            time.sleep(_LOOK_EVERY_S)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune keeps a copy of the search that raydr never reads."""
        return {}

    def _left(self, trials: list[Trial]) -> int:
        """How many trials are done but may have workers still; the others' states are deleted."""
        done = {trial.config["trial"]["number"] for trial in trials if trial.status == Trial.TERMINATED}
        for number in done - self._gone:
            states = storage.join(self._folder, _folder_name(number))
            if storage.exists(_farewell_of(states)):
                storage.delete_folder(states)
                self._gone.add(number)
        return len(done - self._gone)


def _folder_name(number: int) -> str:
    return f"{folder_prefix(number)}train"


def _farewell_of(states: str) -> str:
    """What a trial leaves beside its states when its workers are gone."""
    return storage.join(states, "workers_are_gone")
