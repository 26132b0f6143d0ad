"""What is written to a run, in calls within MLflow's limits."""

import getpass
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import raydr
from raydr.storage import is_local, read_bytes
from raydr.tracking.params import clean_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

_METRICS_A_CALL: Final = 1000
_PARAMS_A_CALL: Final = 100


def origin() -> dict[str, str]:
    """Tags that say who has made a run, and with what."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user id without a name
        user = "unknown"
    return {"mlflow.user": user, "mlflow.source.name": "raydr", "raydr.version": raydr.__version__}


def write_params(client: "MlflowClient", run_id: str, params: Mapping[str, str]) -> None:
    """Write parameters; one that the run has with another value stays, and a tag has the new one."""
    from mlflow.entities import Param

    known = client.get_run(run_id).data.params
    fresh = [Param(key, value) for key, value in params.items() if key not in known]
    for start in range(0, len(fresh), _PARAMS_A_CALL):
        client.log_batch(run_id, params=fresh[start : start + _PARAMS_A_CALL])
    changed = {f"changed.{key}": value for key, value in params.items() if known.get(key, value) != value}
    write_tags(client, run_id, clean_tags(changed))


def write_metrics(client: "MlflowClient", run_id: str, metrics: Mapping[str, float], step: int, time_ms: int) -> None:
    """Write figures of one step, as of a time (Unix, in milliseconds)."""
    from mlflow.entities import Metric

    points = [Metric(key, value, time_ms, step) for key, value in metrics.items()]
    for start in range(0, len(points), _METRICS_A_CALL):
        client.log_batch(run_id, metrics=points[start : start + _METRICS_A_CALL])


def write_missing(
    client: "MlflowClient", run_id: str, points: Mapping[int, Mapping[str, float]], metric: str, time_ms: int
) -> None:
    """Write figures by step, except those of steps at which the run has ``metric`` already."""
    known = {int(found.step) for found in client.get_metric_history(run_id, metric)}
    for step, figures in points.items():
        if step not in known:
            write_metrics(client, run_id, figures, step, time_ms)


def write_file(client: "MlflowClient", run_id: str, file: str, folder: str) -> None:
    """Write a file, from this machine or from an object store, into a folder of the run."""
    if is_local(file):
        client.log_artifact(run_id, file.removeprefix("file://"), folder or None)
        return
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / file.rstrip("/").rpartition("/")[2]
        copy.write_bytes(read_bytes(file))
        client.log_artifact(run_id, str(copy), folder or None)


def write_tags(client: "MlflowClient", run_id: str, tags: Mapping[str, str]) -> None:
    """Write tags."""
    from mlflow.entities import RunTag

    labels = [RunTag(key, value) for key, value in tags.items()]
    for start in range(0, len(labels), _PARAMS_A_CALL):
        client.log_batch(run_id, tags=labels[start : start + _PARAMS_A_CALL])
