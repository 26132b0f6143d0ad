"""Runs in MLflow: started, continued and filled by explicit ids, so that no process depends on an active run."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from raydr.errors import InputError, RunError
from raydr.tracking.params import clean_key, clean_tags, finite, flatten
from raydr.tracking.patience import ask, attempt, first_line, forget, may_pass
from raydr.tracking.record import origin, write_file, write_metrics, write_missing, write_params, write_tags
from raydr.tracking.store import choose_store, open_client, set_environment, without_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]
_PARENT: Final = "mlflow.parentRunId"
_LOGGER: Final = logging.getLogger(__name__)
_WHO: Final = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN)"
_REFUSALS: Final = {
    "UNAUTHENTICATED": f"refuses this user or password, or wants one; set {_WHO}",
    "PERMISSION_DENIED": f"does not let this user do that; let its administrator allow it, or set {_WHO} to another's",
}
"""MLflow's error codes for somebody who may not, and what to do."""


class Tracking(Protocol):
    """What records runs: an MLflow store, or nothing."""

    def start_run(
        self,
        name: str,
        *,
        parent_id: str | None = None,
        continue_id: str | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """The id of a run that is under way now; "" where nothing is recorded."""

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Record settings, nested ones under dotted keys."""

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], *, step: int | None = None) -> None:
        """Record the finite ones of some figures."""

    def log_epochs(self, run_id: str, rows: Sequence[Mapping[str, float]], *, known_by: str, prefix: str = "") -> None:
        """Record figures, each row's at the step in its ``epoch``, unless the run has ``known_by`` there already."""

    def log_files(self, run_id: str, files: Sequence[str], *, folder: str = "") -> None:
        """Record files (paths or URIs) in a folder of the run."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags, replacing what had their names."""

    def end_run(self, run_id: str, status: RunStatus = "FINISHED") -> None:
        """Record that a run has ended, and how."""

    def close(self) -> int:
        """How many records of the job, which is over, were never taken."""

    def viewing(self) -> str:
        """The command or the address that shows the runs; "" where nothing is recorded."""


@dataclass(frozen=True, slots=True)
class Tracker:
    """An experiment in an MLflow store; picklable, as it holds only where that is.

    Starting a run of its own needs the store and raises RunError where it does not answer: better told before hours of
    training than after. Nothing later raises for that: a run that is part of another one gets the id "", for which
    nothing is recorded; any other record is tried for a few seconds and then waits, in this process and ahead of all
    later ones, until the store answers again.
    """

    uri: str
    experiment: str
    artifact_root: str | None = None
    """Where a new experiment keeps its files; None leaves it to the server."""

    def start_run(
        self,
        name: str,
        *,
        parent_id: str | None = None,
        continue_id: str | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """The id of a run that is under way now.

        Args:
            name: What the run is called.
            parent_id: The run it is a part of; where that is not recorded (""), this one is not either.
            continue_id: The run to go on with, instead of making another one for the same work. One that this store
                does not have is replaced by a new run.
            params: Its settings.
            tags: Its tags.

        Raises:
            InputError: The store or the experiment cannot be used as named.
            RunError: The store does not answer, and the run is not part of another one.
        """
        if parent_id == "":
            return ""
        labels = clean_tags(tags or {}) | ({_PARENT: parent_id} if parent_id else {})
        try:
            with store_errors(self.uri):  # what waits may be the end of the run that is continued
                run_id = ask(self.uri, lambda: self._start(name, continue_id, labels))
        except RunError as error:
            if parent_id is None:
                raise
            _LOGGER.warning("%s; %s goes on without a record", error, name)
            return ""
        if params:
            self.log_params(run_id, params)
        return run_id

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Record settings, nested ones under dotted keys.

        A run's parameters cannot change in MLflow: where a continued run has another value by now, the first stays
        and the tag ``changed.<key>`` has the new one.
        """
        self._attempt(run_id, "parameters", lambda client: write_params(client, run_id, flatten(params)))

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], *, step: int | None = None) -> None:
        """Record the finite ones of some figures, at ``step`` (0 where there is none)."""
        points, now_ms = finite(metrics), time.time_ns() // 1_000_000
        self._attempt(run_id, "metrics", lambda client: write_metrics(client, run_id, points, step or 0, now_ms))

    def log_epochs(self, run_id: str, rows: Sequence[Mapping[str, float]], *, known_by: str, prefix: str = "") -> None:
        """Record figures, each row's at the step in its ``epoch``, unless the run has ``known_by`` there already.

        What it has is asked when they are recorded, after all that may wait for the store. All names get ``prefix``.
        """
        now_ms = time.time_ns() // 1_000_000
        points = {
            int(row["epoch"]): finite({f"{prefix}{name}": value for name, value in row.items() if name != "epoch"})
            for row in rows
        }
        known_by = clean_key(f"{prefix}{known_by}")
        self._attempt(run_id, "metrics", lambda client: write_missing(client, run_id, points, known_by, now_ms))

    def log_files(self, run_id: str, files: Sequence[str], *, folder: str = "") -> None:
        """Record files (paths or URIs) in a folder of the run."""
        for file in files:
            self._attempt(run_id, f"file {file}", partial(write_file, run_id=run_id, file=file, folder=folder))

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags, replacing what had their names."""
        self._attempt(run_id, "tags", lambda client: write_tags(client, run_id, clean_tags(tags)))

    def end_run(self, run_id: str, status: RunStatus = "FINISHED") -> None:
        """Record that a run has ended, and how."""
        self._attempt(run_id, "end of the run", lambda client: client.set_terminated(run_id, status), insist=True)

    def close(self) -> int:
        """How many records of the job, which is over, the store never took; nothing waits for it any more."""
        return forget(self.uri)

    def viewing(self) -> str:
        """The command that shows the runs, or a server's address."""
        shown = without_credentials(self.uri)
        return shown if shown.startswith("http") else f"mlflow ui --backend-store-uri {shown}"

    def experiment_id(self) -> str:
        """The id of the experiment, which is made where it is missing; raises what MLflow raises, or InputError."""
        from mlflow.exceptions import MlflowException

        client = open_client(self.uri)
        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                return str(client.create_experiment(self.experiment, artifact_location=self.artifact_root))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                    raise
            found = client.get_experiment_by_name(self.experiment)
        if found is None or found.lifecycle_stage != "active":
            raise InputError(
                f"tracking.experiment: {self.experiment!r} is deleted in {without_credentials(self.uri)}; restore it "
                "or choose another name"
            )
        return str(found.experiment_id)

    def _start(self, name: str, continue_id: str | None, tags: Mapping[str, str]) -> str:
        client = open_client(self.uri)
        known = find_run(client, continue_id or "")
        if known is None:
            run = client.create_run(self.experiment_id(), tags={**origin(), **tags}, run_name=name)
            return str(run.info.run_id)
        client.update_run(known.info.run_id, status="RUNNING")
        write_tags(client, known.info.run_id, tags)
        return str(known.info.run_id)

    def _attempt(
        self, run_id: str, what: str, action: Callable[["MlflowClient"], None], *, insist: bool = False
    ) -> None:
        if run_id:
            attempt(self.uri, what, lambda: action(open_client(self.uri)), insist=insist)


@dataclass(frozen=True, slots=True)
class NoTracker:
    """Records nothing."""

    def start_run(self, name: str, **_: object) -> str:  # noqa: ARG002 - the name is part of the protocol
        """The id of no run."""
        return ""

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Nothing."""

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], *, step: int | None = None) -> None:
        """Nothing."""

    def log_epochs(self, run_id: str, rows: Sequence[Mapping[str, float]], *, known_by: str, prefix: str = "") -> None:
        """Nothing."""

    def log_files(self, run_id: str, files: Sequence[str], *, folder: str = "") -> None:
        """Nothing."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Nothing."""

    def end_run(self, run_id: str, status: RunStatus = "FINISHED") -> None:
        """Nothing."""

    def close(self) -> int:
        """None."""
        return 0

    def viewing(self) -> str:
        """Nothing to see."""
        return ""


def open_tracker(*, enabled: bool, uri: str | None, experiment: str, default_folder: str) -> Tracker | NoTracker:
    """The tracker of a job; it touches no store before the first run starts.

    Args:
        enabled: Whether runs are recorded at all.
        uri: The store named in the settings, which wins over ``MLFLOW_TRACKING_URI``; that wins over the default.
        experiment: The experiment that runs belong to; made where it is missing.
        default_folder: Where the SQLite store is, and files are kept, where neither names a store.

    Raises:
        InputError: No store is named, and ``default_folder`` is in an object store.
    """
    if not enabled:
        return NoTracker()
    store = choose_store(uri=uri, default_folder=default_folder)
    return Tracker(store.uri, experiment, store.artifact_root)


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Turn what MLflow raises into one line: RunError where the store does not answer, InputError where it refuses."""
    set_environment()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:  # ImportError: a database's driver
        line = f"MLflow ({without_credentials(uri)}): {first_line(error)}"
        if refusal := _REFUSALS.get(getattr(error, "error_code", "")):
            raise InputError(f"MLflow ({without_credentials(uri)}): {refusal}") from error
        if may_pass(error):
            raise RunError(
                f"{line}; check tracking.uri and MLFLOW_TRACKING_URI, or set tracking.enabled=false"
            ) from error
        raise InputError(line) from error


def find_run(client: "MlflowClient", run_id: str) -> "Run | None":
    """The run, or None where the store does not have it (any more)."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None
