"""A cluster's job API: whose attempt is which, the log as it grows, and how a job has ended."""

import asyncio
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp
import yaml
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from raydr.errors import InputError, RunError
from raydr.tracking.store import without_credentials

STOP_WAIT: Final = "RAY_JOB_STOP_WAIT_TIME_S"
"""How long a stopped job may take to end before Ray kills it, in seconds; a variable of the job's environment."""
_ADDRESS: Final = "RAY_API_SERVER_ADDRESS"
_NAME: Final = "raydr.name"
_DIGEST: Final = "raydr.digest"
_PATIENCE_S: Final = 300.0
_PAUSE_S: Final = 2.0
_STOPPED: Final = 143
_UNKNOWN: Final = "Request failed with status code 404:"  # Ray's client says it in words only
_LOST: Final = (OSError, aiohttp.ClientError, RuntimeError)


class JobApi(Protocol):
    """What is used of Ray's `JobSubmissionClient`."""

    def list_jobs(self) -> list[JobDetails]:
        """Every job that the cluster has known."""

    def submit_job(
        self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, Any], metadata: dict[str, str]
    ) -> str:
        """Start a job."""

    def get_job_info(self, job_id: str) -> JobDetails:
        """How a job is."""

    def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        """Its log from the beginning, piece by piece, until it ends."""


@dataclass(frozen=True, slots=True)
class Order:
    """A job to be submitted."""

    name: str
    """Of all attempts at it."""
    digest: str
    """Of what it does; two jobs of one name that do the same are attempts at one thing."""
    entrypoint: str
    runtime_env: Mapping[str, Any]


def connect(address: str | None) -> tuple[JobSubmissionClient, str]:
    """The client of a cluster's job API, and the address as people may see it.

    Args:
        address: `http://HOST:8265`; None: what RAY_API_SERVER_ADDRESS or RAY_ADDRESS say.

    Raises:
        InputError: There is no address.
    """
    for name in ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env"):
        logging.getLogger(f"ray.{name}").setLevel(logging.ERROR)  # they tell of every request and every ignored file
    wanted = address or os.environ.get(_ADDRESS) or os.environ.get("RAY_ADDRESS")
    if not wanted:  # Ray would take any cluster that somebody runs on this machine
        raise InputError(f"submit: no address: give --address or set {_ADDRESS}, such as http://127.0.0.1:8265")
    if address is not None:
        os.environ[_ADDRESS] = address  # what the environment says would win
    shown = without_credentials(wanted)
    with told(shown):
        client = JobSubmissionClient(address)
    return client, without_credentials(client.get_address())


@contextmanager
def told(address: str) -> Iterator[None]:
    """Turn what the client raises into one line: InputError where the token is refused, RunError for the rest."""
    try:
        yield
    except AuthenticationError as error:
        reason = error.message.strip().splitlines()[0]
        raise InputError(
            f"submit: {address} refuses this token, or wants one ({reason}); set RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's"
        ) from error
    except BrokenPipeError:  # of our own output, whose reader has seen enough
        raise
    except (OSError, RuntimeError) as error:
        raise RunError(f"submit: {address}: {' '.join(str(error).split())}") from error


def runtime_env_of(file: str | None, working_dir: str) -> dict[str, Any]:
    """The runtime environment in a YAML file, with the folder whose files go along.

    Raises:
        InputError: The file cannot be read, or is none.
    """
    try:
        found = {} if file is None else yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{file}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise InputError(f"{file}: is no runtime environment of Ray's, a table of YAML")
    return {**found, "working_dir": working_dir}


def start_or_find(client: JobApi, order: Order) -> tuple[str, bool]:
    """The id of the attempt under way, and whether it is new.

    One that has not ended is taken as it is; after it another attempt begins, NAME, NAME-2, NAME-3 and so on.

    Raises:
        InputError: The name is that of another job which has not ended.
    """
    submission_id = order.name
    for _ in range(2):  # another process may submit the same at this moment
        attempts = _attempts(client.list_jobs(), order.name)
        if attempts and not attempts[-1].status.is_terminal():
            return _checked(attempts[-1], order), False
        if attempts:
            submission_id = f"{order.name}-{_number(attempts[-1], order.name) + 1}"
        try:
            client.submit_job(
                entrypoint=order.entrypoint,
                submission_id=submission_id,
                runtime_env=dict(order.runtime_env),
                metadata={_NAME: order.name, _DIGEST: order.digest},
            )
        except RuntimeError as error:
            if "already exists" not in str(error):
                raise
        else:
            return submission_id, True
    raise InputError(f"submit: --name: another job is called {submission_id}; choose another name")


def _checked(job: JobDetails, order: Order) -> str:
    """The id of a job under way, if it does what is ordered."""
    if (job.metadata or {}).get(_DIGEST) != order.digest:
        raise InputError(
            f"submit: --name: {job.submission_id} is under way and does something else "
            f"({without_credentials(job.entrypoint)}); stop it or choose another name"
        )
    return str(job.submission_id)


def _attempts(jobs: Sequence[JobDetails], name: str) -> list[JobDetails]:
    """Those of a name, the newest last."""
    found = [job for job in jobs if job.submission_id and (job.metadata or {}).get(_NAME) == name]
    return sorted(found, key=lambda job: _number(job, name))


def _number(job: JobDetails, name: str) -> int:
    """Which attempt a job is."""
    found = re.fullmatch(rf"{re.escape(name)}-(\d+)", job.submission_id or "")
    return int(found[1]) if found else 1


def follow(client: JobApi, submission_id: str, write: Callable[[str], object]) -> JobDetails:
    """How the job ended, after ``write`` was given all of its log; a lost connection is taken up again.

    Raises:
        RunError: The cluster does not know the job any more, or has not answered for five minutes since it was lost.
        BrokenPipeError: The reader of what is written has seen enough.
    """
    shown = _Shown(write)
    silent_since: float | None = None
    while True:
        before = shown.length
        try:
            if silent_since is not None and not client.get_job_info(submission_id).status.is_terminal():
                silent_since = None  # the log of a job that has ended must come within the five minutes
            shown.tail(client.tail_job_logs(submission_id))
            info = client.get_job_info(submission_id)
        except BrokenPipeError:
            raise
        except _LOST as error:
            if str(error).startswith(_UNKNOWN):
                raise RunError(f"submit: the cluster does not know {submission_id} any more") from error
            now = time.monotonic()
            if silent_since is None or shown.length > before:
                silent_since = now
            if now - silent_since > _PATIENCE_S:
                raise RunError(
                    f"submit: the cluster has not answered for {_PATIENCE_S:g} s; {submission_id} may go on, the same "
                    "command follows it again"
                ) from error
        else:
            if info.status.is_terminal():
                return info
            silent_since = None
        time.sleep(_PAUSE_S)


class _Shown:
    """A log of which the beginning was shown already."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self.length = 0
        self._write = write

    def tail(self, pieces: AsyncIterator[str]) -> None:
        """Show what is new in a log that comes from its beginning."""
        tailing = self._tail(pieces)
        try:
            asyncio.run(tailing)
        finally:
            tailing.close()  # Ctrl-C may come before it has begun, of which Python would warn

    async def _tail(self, pieces: AsyncIterator[str]) -> None:
        passed = 0
        async for piece in pieces:
            new = piece[max(0, self.length - passed) :]
            passed += len(piece)
            if new:
                self._write(new)
                self.length = passed


def verdict(info: JobDetails) -> tuple[int, str]:
    """The exit status of an ended job, its own where it has one, and why it is what it is, in one line."""
    if info.status == JobStatus.SUCCEEDED:
        return 0, f"{info.submission_id} is done"
    if info.status == JobStatus.STOPPED:
        return _STOPPED, f"{info.submission_id} was stopped; submitted again it goes on from what it has saved"
    code = info.driver_exit_code
    status = 1 if not code else code if code > 0 else 128 - code  # a signal's number, negative
    lines = [line.strip() for line in (info.message or "").splitlines() if line.strip()]
    why = lines[-1] if lines else "no reason is known"
    return status, f"{info.submission_id} failed with status {status}: {why}"
