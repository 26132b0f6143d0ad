"""A learning loop on a Ray cluster: TorchTrainer, its resources, its storage, its failures."""

import contextlib
import json
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray
import ray.data
import ray.train
from ray.train.torch import TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError

from raydr import storage
from raydr.config.site import ClusterSettings
from raydr.data.nodes import Node, alive_nodes, label_pair
from raydr.errors import InputError, RunError
from raydr.training.progress import OnEpoch, ProgressLog, ProgressWatch
from raydr.training.worker import STREAM, Work, work


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What the newest state says of the training."""

    history: list[dict[str, float]]
    best_epoch: int | None
    best_value: float | None


def train(
    orders: Work,
    datasets: Mapping[str, ray.data.Dataset],
    cluster: ClusterSettings,
    *,
    folder: str,
    name: str,
    on_epoch: OnEpoch,
) -> TrainingResult:
    """Run ``orders`` on the cluster's workers; goes on from the newest state below ``folder`` of the same ``name``.

    Raises:
        InputError: The cluster has no room for the workers or none for decoding: a training would wait for ever.
        RunError: The training failed more often than the settings allow.
    """
    check_room(cluster)
    with tempfile.TemporaryDirectory(prefix="raydr-progress-") as scratch:
        path = Path(scratch) / "epochs.jsonl"
        trainer = TorchTrainer(
            work,
            train_loop_config=orders.as_json(),
            scaling_config=ray.train.ScalingConfig(  # type: ignore[call-arg]  # mypy sees the first Ray Train's
                num_workers=cluster.num_workers,
                use_gpu=cluster.gpus_per_worker > 0,
                resources_per_worker=_resources(cluster),
                label_selector=trainer_label(cluster),
            ),
            run_config=ray.train.RunConfig(
                name=name,
                storage_path=storage.absolute(folder),
                failure_config=ray.train.FailureConfig(max_failures=cluster.max_failures),
                checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
                callbacks=[ProgressLog(str(path))],  # type: ignore[list-item]  # Ray Train and Tune share a class
            ),
            datasets=dict(datasets),
            dataset_config=_data_config(orders, datasets),
        )
        with ProgressWatch(path, on_epoch), _interrupts_kept():
            try:
                result = trainer.fit()
            except TrainingFailedError as error:
                raise _told(error) from error
    if result.checkpoint is None:
        raise RunError(f"{orders.loop}: the training ended without a state in {folder}")
    # The checkpoint's path has lost its scheme; its file system knows where it is.
    with result.checkpoint.filesystem.open_input_file(f"{result.checkpoint.path}/state.json") as file:
        state = json.loads(file.read())
    return TrainingResult(state["history"], state["best_epoch"], state["best_value"])


def check_room(cluster: ClusterSettings) -> None:
    """Raise InputError where trainers and one decoding task together need more than a cluster of fixed size has."""
    if cluster.autoscaling:
        return
    nodes = alive_nodes()
    gpus = sum(node.gpus for node in nodes)
    if cluster.decode_label is None:
        _check_shared(cluster, sum(node.cpus for node in nodes))
    else:
        _check_apart(cluster, nodes, cluster.decode_label)
    if cluster.num_workers * cluster.gpus_per_worker > gpus:
        raise InputError(
            f"cluster.gpus_per_worker: {cluster.num_workers} workers of {cluster.gpus_per_worker:g} GPUs do not fit "
            f"the cluster's {gpus:g}; lower num_workers or gpus_per_worker, or set cluster.autoscaling"
        )


def _check_shared(cluster: ClusterSettings, cpus: float) -> None:
    trainers = cluster.num_workers * cluster.cpus_per_worker
    if trainers + cluster.decode_cpus > cpus:
        raise InputError(
            f"cluster.num_workers: {cluster.num_workers} workers of {cluster.cpus_per_worker:g} CPUs leave "
            f"{cpus - trainers:g} of the cluster's {cpus:g} for decoding, which needs cluster.decode_cpus = "
            f"{cluster.decode_cpus:g}; lower num_workers, cpus_per_worker or decode_cpus, or set cluster.autoscaling"
        )


def _check_apart(cluster: ClusterSettings, nodes: Sequence[Node], label: str) -> None:
    decoding = [node.cpus for node in nodes if node.has_label(label)]
    if max(decoding, default=0.0) < cluster.decode_cpus:
        raise InputError(
            f"cluster.decode_label: no node of the cluster has the label {label} and {cluster.decode_cpus:g} CPUs; "
            "label one, lower decode_cpus, or set cluster.autoscaling"
        )
    others = sum(node.cpus for node in nodes) - sum(decoding)
    if cluster.num_workers * cluster.cpus_per_worker > others:
        raise InputError(
            f"cluster.num_workers: {cluster.num_workers} workers of {cluster.cpus_per_worker:g} CPUs do not fit the "
            f"{others:g} of the nodes without the label {label}, which only decode; lower num_workers or "
            "cpus_per_worker, or set cluster.autoscaling"
        )


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


@contextlib.contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Keep the program's own answer to Ctrl-C: Ray Train leaves one behind that ends in "done"."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _resources(cluster: ClusterSettings) -> dict[str, float]:
    gpus = {"GPU": cluster.gpus_per_worker} if cluster.gpus_per_worker else {}
    return {"CPU": cluster.cpus_per_worker, **gpus}


def _told(error: TrainingFailedError) -> InputError | RunError:
    """The workers' own words, each once: one rank's death makes others fail too, so the first may not be the cause."""
    failures = getattr(error, "worker_failures", None) or {}
    reasons: dict[str, int] = {}
    for rank, failure in sorted(failures.items()):
        cause = getattr(failure, "cause", None) or failure
        cause = getattr(cause, "cause", None) or cause
        lines = [line for line in str(cause).splitlines() if line.strip()]
        text = lines[-1].strip() if lines else type(cause).__name__
        if isinstance(cause, InputError):
            return InputError(text)
        reasons.setdefault(text, rank)
    if not reasons:
        return RunError(str(error).strip().splitlines()[-1])
    return RunError("; ".join(f"worker {rank} failed: {text}" for text, rank in reasons.items()))
