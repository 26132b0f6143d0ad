"""A learning loop on a Ray cluster: TorchTrainer, its resources, its storage, its failures."""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ray
import ray.data
import ray.train
from ray.train.torch import TorchTrainer

from raydr import storage
from raydr.config.site import ClusterSettings
from raydr.data.nodes import alive_nodes, label_pair
from raydr.errors import RunError, StoppedRun
from raydr.training.attempts import Fit, StorePatience
from raydr.training.board import BoardWatch, OnFigures, OnLine, start_board
from raydr.training.progress import OnEpoch, ProgressLog, ProgressWatch
from raydr.training.rendezvous import rendezvous
from raydr.training.room import check_room
from raydr.training.states import SavedStates
from raydr.training.stopping import StopSignals
from raydr.training.worker import STREAM, Work, work

_RESIZE_EVERY_S: Final = 60.0
"""How often, at most, a training with max_workers looks whether there is room for more workers."""
_START_TIMEOUT: Final = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
_START_S, _START_GROWING_S, _START_SHRUNK_S = 120.0, 600.0, 30.0


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What the newest state says of the training."""

    history: list[dict[str, float]]
    best_epoch: int | None
    best_value: float | None


def train(  # noqa: PLR0913 - three of them are ears
    orders: Work,
    datasets: Mapping[str, ray.data.Dataset],
    cluster: ClusterSettings,
    *,
    folder: str,
    name: str,
    on_epoch: OnEpoch,
    on_figures: OnFigures = lambda _: None,
    on_line: OnLine = lambda _: None,
    signals: StopSignals | None = None,
) -> TrainingResult:
    """Run ``orders`` on the cluster's workers; goes on from the newest whole state below ``folder`` of the same name.

    SIGTERM or Ctrl-C makes the workers save and end; a second one ends the program at once.

    Args:
        orders: What every worker does.
        datasets: What they read.
        cluster: How many workers, what each gets, what is survived.
        folder: Where states are saved.
        name: Of this training; another one's states are not gone on from.
        on_epoch: Called with every epoch's metrics, in a thread of its own.
        on_figures: Called with rank 0's figures of the moment, about once a second, in a thread of its own.
        on_line: Called with what else there is to say, in any thread.
        signals: What the training is stopped by; None: by those of the process, where it is in the main thread.

    Raises:
        InputError: The cluster has no room for the workers or none for decoding: a training would wait for ever.
        RunError: The training failed more often than the settings allow.
        StoppedRun: A signal ended it.
    """
    nodes = alive_nodes()
    check_room(cluster, nodes)
    states = SavedStates(*storage.locate(storage.join(storage.absolute(folder), name)))
    board = start_board()
    with tempfile.TemporaryDirectory(prefix="raydr-progress-") as scratch:
        path = Path(scratch) / "epochs.jsonl"

        def attempt() -> None:
            states.drop_leftovers()
            if states.drop_torn_list():
                on_line("Ray Train's list of saved states was torn; they are found by looking")
            TorchTrainer(
                work,
                train_loop_config=dataclasses.replace(orders, board=board.name).as_json(),
                torch_config=rendezvous(nodes),
                scaling_config=_scaling(cluster),
                run_config=ray.train.RunConfig(
                    name=name,
                    storage_path=storage.absolute(folder),
                    failure_config=_failures(cluster),
                    checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
                    callbacks=[ProgressLog(str(path))],  # type: ignore[list-item]  # Ray Train and Tune share a class
                ),
                datasets=dict(datasets),
                dataset_config=_data_config(orders, datasets),
            ).fit()

        with (
            signals or StopSignals() as stop,
            ProgressWatch(path, on_epoch=on_epoch, on_line=on_line),
            BoardWatch(board, on_figures=_told_of_workers(cluster, on_figures, on_line), on_line=on_line),
            _start_patience(cluster),
        ):
            fit = Fit(attempt, again=StorePatience(states, cluster.max_failures, on_line).waits_for)
            fit.wait(stop, board, grace_s=cluster.stop_grace_s, on_line=on_line)
    if stop.received is not None:
        raise StoppedRun(f"{fit.shortfall(cluster.stop_grace_s)}{_saved(states)}", stop.received)
    if fit.error is not None:
        raise fit.error
    state = states.describe_newest()
    if state is None:
        raise RunError(f"{orders.loop}: the training ended without a state in {folder}")
    return TrainingResult(state["history"], state["best_epoch"], state["best_value"])


def _told_of_workers(cluster: ClusterSettings, on_figures: OnFigures, on_line: OnLine) -> OnFigures:
    """``on_figures`` that says how many workers an elastic training has, whenever that has changed."""
    most, before = cluster.max_workers, 0

    def hear(figures: Mapping[str, float]) -> None:
        nonlocal before
        if most is not None and (now := int(figures["workers"])) != before:
            on_line(f"{now} of at most {most} workers are training")
            before = now
        on_figures(figures)

    return hear


def _saved(states: SavedStates) -> str:
    """What a stopped training leaves."""
    state = states.describe_newest()
    if state is None:
        return "no state was saved yet; the same command starts this training again"
    epoch, step = state["epochs_done"], state["steps_done"]
    where = f"step {step} of {state['steps_per_epoch']} of epoch {epoch + 1}" if step else f"the end of epoch {epoch}"
    return f"the state at {where} is saved; the same command goes on from there"


def _scaling(cluster: ClusterSettings) -> ray.train.ScalingConfig:
    workers = cluster.num_workers
    return ray.train.ScalingConfig(  # type: ignore[call-arg]  # mypy sees the first Ray Train's
        num_workers=workers if cluster.max_workers is None else (workers, cluster.max_workers),  # type: ignore[arg-type]
        use_gpu=cluster.gpus_per_worker > 0,
        resources_per_worker=_resources(cluster),
        label_selector=trainer_label(cluster),
        # Growing ends the workers without notice: more often than states are saved, nothing would ever get done.
        elastic_resize_monitor_interval_s=max(_RESIZE_EVERY_S, 60 * (cluster.save_every_minutes or 0.0)),
    )


def _failures(cluster: ClusterSettings) -> ray.train.FailureConfig:
    limit = cluster.max_preemption_failures
    return ray.train.FailureConfig(  # type: ignore[call-arg]
        max_failures=cluster.max_failures, max_preemption_failures=-1 if limit is None else limit
    )


@contextlib.contextmanager
def _start_patience(cluster: ClusterSettings) -> Iterator[None]:
    """How long Ray Train waits for its workers to start before it plans anew, unless the environment says so.

    A cluster that grows needs time to boot nodes. A training that shrinks first plans with the node that it has just
    lost and must wait before it plans without.
    """
    if cluster.max_workers is not None:
        patience_s = _START_SHRUNK_S
    else:
        patience_s = _START_GROWING_S if cluster.autoscaling else _START_S
    if _START_TIMEOUT in os.environ:
        yield
        return
    os.environ[_START_TIMEOUT] = str(patience_s)
    try:
        yield
    finally:
        os.environ.pop(_START_TIMEOUT, None)


def _data_config(orders: Work, datasets: Mapping[str, ray.data.Dataset]) -> ray.train.DataConfig:
    """Which dataset is split; Ray Train drops a dataset's own options (its order, its nodes) unless they are given."""
    return ray.train.DataConfig(
        datasets_to_split=[] if orders.clock is None else [STREAM],
        execution_options={name: dataset.context.execution_options for name, dataset in datasets.items()},
    )


def trainer_label(cluster: ClusterSettings) -> dict[str, str] | None:
    """Nodes that are there to decode take no trainer."""
    if cluster.decode_label is None:
        return None
    key, value = label_pair(cluster.decode_label)
    return {key: f"!{value}"}


def _resources(cluster: ClusterSettings) -> dict[str, float]:
    gpus = {"GPU": cluster.gpus_per_worker} if cluster.gpus_per_worker else {}
    return {"CPU": cluster.cpus_per_worker, **gpus}
