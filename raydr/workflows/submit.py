"""`raydr submit`: a verb on a cluster, in one command; the same command twice is one job."""

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from raydr.config.jobs import Job
from raydr.errors import InputError
from raydr.storage import is_local
from raydr.workflows.console import say
from raydr.workflows.digests import digest_of_tree
from raydr.workflows.submission import (
    STOP_WAIT,
    Order,
    connect,
    follow,
    runtime_env_of,
    start_or_find,
    told,
    verdict,
)

_NAMED: Final = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "STORAGE_EMULATOR_HOST",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
"""What object stores and MLflow are reached by, which a job finds on the cluster."""
_SECRET: Final = re.compile(r"TOKEN|SECRET|PASSW|KEY|CREDENTIAL", re.IGNORECASE)
_SECRET_VALUE: Final = re.compile(r"://[^/\s\"']*:[^/\s\"']*@")
_NOT_HERE: Final = (
    "and Ray writes what a job is given into logs on every node and shows it to whoever may use the job API; give it "
    "to the cluster itself (a Secret of its pods, a role of its instances)"
)
_STOP_MARGIN_S: Final = 5


def submit(
    words: Sequence[str],
    *,
    settings: Job,
    name: str | None,
    address: str | None,
    working_dir: str,
    runtime_env: str | None,
    environment: Sequence[str],
    follows: bool,
) -> int:
    """The exit status: the job's where it is followed, else 0 once it is submitted or found under way.

    Args:
        words: The verb and its options, as they stand on the command line.
        settings: What the verb will run with; `doctor` may have a site's alone, with an empty `out`.
        name: Of the job; None: of its verb and a digest of its settings.
        address: Of the cluster's job API, as `connect` takes it.
        working_dir: Folder (or URI of an archive) whose files the job has as its own.
        runtime_env: YAML file of Ray's, None for none.
        environment: Names of variables whose values go with the job.
        follows: Show the job's log until it ends.

    Raises:
        InputError: A name, a variable or an `out` that cannot be used, a secret among what Ray would show, or a token
            that is refused.
        RunError: The cluster does not answer.
    """
    check_words(words)
    digest = digest_of(words, settings)
    order = Order(
        name=checked_name(name or f"raydr-{words[0]}-{digest[:10]}"),
        digest=digest,
        entrypoint=shlex.join(["python", "-m", "raydr", *words]),
        runtime_env=with_environment(runtime_env_of(runtime_env, working_dir), environment, settings),
    )
    check_out(settings)
    client, shown = connect(address)
    if unsent := [named for named in _NAMED if named in os.environ and named not in environment]:
        say(f"not sent along, the cluster's own count: {', '.join(unsent)} (--env NAME sends one that is no secret)")
    with told(shown):
        submission_id, is_new = start_or_find(client, order)
    line = f"{submission_id}: {'submitted to' if is_new else 'is under way already on'} {shown}"
    if not follows:
        say(f"{line}\n  ray job logs --follow {submission_id}\n  ray job stop {submission_id}")
        return 0
    try:
        say(line)
        with told(shown):
            info = follow(client, submission_id, _write)
    except KeyboardInterrupt:
        say(f"{submission_id} goes on; the same command follows it again, `ray job stop {submission_id}` ends it")
        raise
    status, line = verdict(info)
    sys.stdout.flush()
    (sys.stderr if status else sys.stdout).write(f"raydr submit: {line}\n")
    return status


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def digest_of(words: Sequence[str], settings: Job) -> str:
    """Digest of what a job does: its command and the settings that its files give it now.

    The files sent along are left out: two jobs of the same settings have the same `out` and must not run side by side.
    """
    return digest_of_tree([list(words), settings.model_dump(mode="json")])


def checked_name(name: str) -> str:
    """``name``, which is part of a file's name and of a URL on the cluster; InputError where it cannot be."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name, re.ASCII):
        raise InputError(f"submit: --name: {name!r} must be up to 100 letters, digits, '.', '_' and '-'")
    return name


def check_words(words: Sequence[str]) -> None:
    """Raise InputError where a URL with a password is among a job's words."""
    for word in words:
        if found := _SECRET_VALUE.search(word):
            raise InputError(f"submit: {word[: found.start()]}://... has a password in it, {_NOT_HERE}")


def check_out(settings: Job) -> None:
    """Raise InputError where the job's `out` would be a folder of the files sent along, which nobody keeps."""
    out = settings.out
    if out and is_local(out) and not out.startswith(("/", "~", "file://")):
        raise InputError(
            f"submit: out: {out} would lie among the files that are sent along, which the cluster does not keep; give "
            "an object store or an absolute path that every node has: --set out=s3://BUCKET/NAME"
        )


def with_environment(runtime_env: Mapping[str, Any], names: Sequence[str], settings: Job) -> dict[str, Any]:
    """A runtime environment with variables of this process, and with the time that a stopped job needs to save.

    Raises:
        InputError: A variable that is not set, or a secret, by its name or as a URL with a password: Ray writes a
            job's environment into logs on every node and shows it to whoever may use the job API.
    """
    given = runtime_env.get("env_vars") or {}
    for name, value in given.items():
        if _is_secret(name, str(value)):
            raise InputError(f"submit: runtime environment: env_vars: {name} is a secret, {_NOT_HERE}")
    for name, part in runtime_env.items():
        if _SECRET_VALUE.search(json.dumps(part, default=str)):
            raise InputError(f"submit: runtime environment: {name}: has a URL with a password in it, {_NOT_HERE}")
    sent = {}
    for name in names:
        value = os.environ.get(name)
        if value is None:
            raise InputError(f"submit: --env: {name} is not set here")
        if _is_secret(name, value):
            raise InputError(f"submit: --env: {name} is a secret, {_NOT_HERE}")
        sent[name] = value
    stopping = {
        STOP_WAIT: str(round(settings.cluster.stop_grace_s) + _STOP_MARGIN_S)
    }  # Ray's own 3 s kill a training that is saving
    return {**runtime_env, "env_vars": {**stopping, **given, **sent}}


def _is_secret(name: str, value: str) -> bool:
    return bool(_SECRET.search(name) or _SECRET_VALUE.search(value))
