"""A learning loop on a Ray cluster: TorchTrainer, its resources, its storage, its failures."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ray
import ray.data
import ray.train
from ray.train.torch import TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError

from raydr import storage
from raydr.config.site import ClusterSettings
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
        InputError: The workers would leave no CPU for decoding, with which a training waits for ever.
        RunError: The training failed more often than the settings allow.
    """
    check_room(cluster)
    with tempfile.TemporaryDirectory(prefix="raydr-progress-") as scratch:
        path = Path(scratch) / "epochs.jsonl"
        trainer = TorchTrainer(
            work,
            train_loop_config=orders.as_json(),
            scaling_config=ray.train.ScalingConfig(
                num_workers=cluster.num_workers,
                use_gpu=cluster.gpus_per_worker > 0,
                resources_per_worker=_resources(cluster),
            ),
            run_config=ray.train.RunConfig(
                name=name,
                storage_path=storage.absolute(folder),
                failure_config=ray.train.FailureConfig(max_failures=cluster.max_failures),
                checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
                callbacks=[ProgressLog(str(path))],  # type: ignore[list-item]  # Ray Train and Tune share a class
            ),
            datasets=dict(datasets),
            dataset_config=ray.train.DataConfig(datasets_to_split=[STREAM] if STREAM in datasets else []),
        )
        with ProgressWatch(path, on_epoch):
            try:
                result = trainer.fit()
            except TrainingFailedError as error:
                raise RunError(_reason(error)) from error
    if result.checkpoint is None:
        raise RunError(f"{orders.loop}: the training ended without a state in {folder}")
    state = json.loads(storage.read_bytes(storage.join(result.checkpoint.path, "state.json")))
    return TrainingResult(state["history"], state["best_epoch"], state["best_value"])


def check_room(cluster: ClusterSettings) -> None:
    """Raise InputError where trainers and one decoding task together need more CPUs than the cluster has."""
    have = ray.cluster_resources().get("CPU", 0.0)  # type: ignore[no-untyped-call]
    trainers = cluster.num_workers * cluster.cpus_per_worker
    if trainers + cluster.decode_cpus > have:
        raise InputError(
            f"cluster.num_workers: {cluster.num_workers} workers of {cluster.cpus_per_worker:g} CPUs leave "
            f"{have - trainers:g} of the cluster's {have:g} for decoding, which needs cluster.decode_cpus = "
            f"{cluster.decode_cpus:g}; lower num_workers, cpus_per_worker or decode_cpus"
        )


def _resources(cluster: ClusterSettings) -> dict[str, float]:
    gpus = {"GPU": cluster.gpus_per_worker} if cluster.gpus_per_worker else {}
    return {"CPU": cluster.cpus_per_worker, **gpus}


def _reason(error: TrainingFailedError) -> str:
    """The worker's own words: the first line of the first failed rank's error."""
    failures = getattr(error, "worker_failures", None) or {}
    for rank, failure in sorted(failures.items()):
        cause = getattr(failure, "cause", None) or failure
        lines = [line for line in str(cause).splitlines() if line.strip()]
        return f"worker {rank} failed: {lines[-1] if lines else type(cause).__name__}"
    return str(error).strip().splitlines()[-1]
