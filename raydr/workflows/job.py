"""The frame of every verb: up to date or not, its MLflow run, its time, its result."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from raydr import storage
from raydr.config.applied import is_table
from raydr.config.jobs import Job
from raydr.errors import InputError
from raydr.tracking.runs import Tracking, open_tracker
from raydr.workflows.console import duration, say
from raydr.workflows.digests import digest_of_input, digest_of_settings, digest_of_tree
from raydr.workflows.result import StageResult, beside, now, read_result, result_uri, write_result

RUN_FILE = "run.json"
RAY_FOLDER = "ray"
"""What Ray keeps of a stage under way, below its folder."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The run that a stage belongs to: its tracker and its MLflow run, opened by the first stage that has work."""

    open: Callable[[], tuple[Tracking, str]]


@dataclass(frozen=True, slots=True)
class Stage:
    """What a verb's body gets."""

    out: str
    tracker: Tracking
    run_id: str
    settings_digest: str
    inputs: Mapping[str, str]

    @property
    def name(self) -> str:
        """A name for what Ray keeps of this stage: other settings or inputs, another name."""
        return self.identity[:12]

    @property
    def identity(self) -> str:
        """Digest of settings and inputs together."""
        return identity_of(self.settings_digest, self.inputs)

    def path(self, *parts: str) -> str:
        """A URI below the stage's folder."""
        return storage.join(self.out, *parts)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a verb's body hands back."""

    metrics: Mapping[str, Any]
    artifacts: Mapping[str, str]
    logged: Mapping[str, float] = field(default_factory=dict)
    """Figures for MLflow."""


def identity_of(settings_digest: str, inputs: Mapping[str, str]) -> str:
    """One digest of a stage's settings and of what it reads."""
    return digest_of_tree([settings_digest, dict(inputs)])


def perform(
    settings: Job,
    verb: str,
    *,
    inputs: Mapping[str, str],
    pipeline: Pipeline | None,
    digests: Mapping[str, str] | None = None,
    find_fault: Callable[[StageResult], str | None] = lambda _: None,
    body: Callable[[Stage], Outcome],
) -> StageResult:
    """Run a verb's body unless its result is there already, made with the same settings from the same inputs.

    Args:
        settings: The verb's own.
        verb: Its name.
        inputs: URIs by name; their digests decide whether the result still stands.
        digests: Digests of further inputs that are no files, or that count in place of a file's own.
        pipeline: The `run` it is part of, if any.
        find_fault: What is wrong with the artifacts of an earlier result that else would stand, None where nothing is.
        body: The work.
    """
    found = {name: digest_of_input(name, uri) for name, uri in inputs.items()} | dict(digests or {})
    settings_digest = digest_of_settings(settings)
    out = storage.absolute(settings.out)
    previous = check_out(out, verb)
    if previous is not None and (previous.settings_digest, dict(previous.inputs)) == (settings_digest, found):
        lost = [f"{name} is gone" for name, uri in previous.artifacts.items() if not storage.exists(uri)]
        fault = lost[0] if lost else find_fault(previous)
        if fault is None:
            say(f"{verb}: up to date ({out})")
            return previous.again()
        say(f"{verb}: {fault}, so it is made again")
    tracker, parent = pipeline.open() if pipeline else (open_tracking(settings, out), None)
    run_id = start_or_continue(
        tracker, verb, out=out, identity=identity_of(settings_digest, found), settings=settings, parent_id=parent
    )
    started, clock = now(), time.perf_counter()
    say(f"{verb}: started")
    # From here on the folder's artifacts are this attempt's: an older result must not vouch for them.
    storage.delete_file(result_uri(out))
    try:
        outcome = body(Stage(out, tracker, run_id, settings_digest, found))
    except BaseException as error:
        status: Literal["FAILED", "KILLED"] = "FAILED" if isinstance(error, Exception) else "KILLED"
        tracker.end_run(run_id, status)
        if pipeline is None:
            close_tracking(tracker)
        raise
    result = StageResult(
        verb=verb,
        out=out,
        settings_digest=settings_digest,
        started=started,
        seconds=round(time.perf_counter() - clock, 2),
        mlflow_run_id=run_id,
        metrics=dict(outcome.metrics),
        artifacts=dict(outcome.artifacts),
        inputs=found,
    )
    tracker.log_metrics(run_id, {**outcome.logged, "wall_seconds": result.seconds})
    tracker.end_run(run_id, "FINISHED")
    write_result(result)
    if not is_table(out):
        storage.delete_folder(storage.join(out, RAY_FOLDER))  # only an unfinished stage goes on from there
    if pipeline is None:
        close_tracking(tracker, figures_in=result.uri)
    say(f"{verb}: done in {duration(result.seconds)}")
    return result


def close_tracking(tracker: Tracking, *, figures_in: str | None = None) -> None:
    """Say how many records of a job, which is over, were never taken, if any, and where the figures are besides."""
    if count := tracker.close():
        records, where = "1 record was" if count == 1 else f"{count} records were", f"; see {figures_in}"
        say(f"MLflow: {records} never taken{where if figures_in else ''}")


def check_out(out: str, verb: str) -> StageResult | None:
    """The result in ``out``; InputError where it is another verb's, which is never overwritten."""
    if not is_table(out) and storage.exists(out) and not storage.is_folder(out):
        raise InputError(f"{out}: out: is a file; choose a folder")
    previous = read_result(out)
    if previous is not None and previous.verb != verb:
        raise InputError(f"{result_uri(out)}: out: holds the result of `raydr {previous.verb}`; choose another folder")
    return previous


def check_free(out: str, *names: str) -> None:
    """Raise InputError where ``out``, or one of ``names`` in or beside it, is there though no job of ours began it."""
    if storage.exists(result_uri(out)) or storage.exists(beside(out, RUN_FILE)):
        return
    for uri in ([out] if is_table(out) else []) + [beside(out, name) for name in names]:
        if storage.exists(uri):
            raise InputError(f"{uri}: out: is there already and is none of raydr's results; choose another name")


def open_tracking(settings: Job, out: str) -> Tracking:
    """The tracker of the settings; its default store lies beside the results."""
    tracking = settings.tracking
    return open_tracker(
        enabled=tracking.enabled, uri=tracking.uri, experiment=tracking.experiment, default_folder=tracking_folder(out)
    )


def tracking_folder(out: str) -> str:
    """The folder of the default MLflow store: that of the results."""
    return out.rpartition("/")[0] if is_table(out) else out


def start_or_continue(
    tracker: Tracking, verb: str, *, out: str, identity: str, settings: Job, parent_id: str | None = None
) -> str:
    """The MLflow run of this work: the one that was cut off, if it was the same work, or a new one."""
    uri = beside(out, RUN_FILE)
    before = json.loads(storage.read_bytes(uri)) if storage.exists(uri) else {}
    continue_id = before.get("mlflow_run_id") if before.get("identity") == identity else None
    run_id = tracker.start_run(
        verb,
        parent_id=parent_id,
        continue_id=continue_id or None,
        params=settings.model_dump(mode="json", exclude={"cluster", "tracking"}),
        tags={"raydr.verb": verb, "raydr.identity": identity},
    )
    content = {"verb": verb, "identity": identity, "mlflow_run_id": run_id}
    storage.write_bytes(uri, json.dumps(content, indent=2).encode())
    return run_id
