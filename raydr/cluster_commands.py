"""The command lines about a cluster: `raydr submit` and `raydr doctor`."""

import argparse
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from raydr.errors import InputError

_RUNTIME_ENV: Final = "cluster/runtime_env.yaml"
_SUBMIT: Final = """\
A verb as a job of a Ray cluster: its settings are checked here, the files of a folder go along, and the same command
twice follows one job, or begins another attempt after it has ended (NAME-2, NAME-3, ...).

The address is --address, RAY_API_SERVER_ADDRESS or RAY_ADDRESS; the token RAY_AUTH_MODE=token with RAY_AUTH_TOKEN or
RAY_AUTH_TOKEN_PATH. Ctrl-C leaves the job running. The exit status is the job's: 143 where it was stopped.
"""
_DOCTOR: Final = """\
What is wrong with a cluster for a job, and what to do about it: versions, GPUs, placement, storage (a small file is
written below `out` and deleted), MLflow, authentication, State API, shared memory, clocks.

exit status: 0 nothing that fails a run, 1 an error, 2 settings that cannot be used.
"""

SettingsOf = Callable[[Sequence[str]], Any]
"""What a command line, the verb first, would run with."""


def add_progress_option(parser: argparse.ArgumentParser) -> None:
    """`--progress`."""
    parser.add_argument(
        "--progress",
        choices=("text", "json"),
        default="text",
        help="what is printed: lines for a person, or a JSON object a line with the figures beside the text",
    )


def speak_as(options: argparse.Namespace) -> None:
    """Print as `--progress` says from here on."""
    if options.progress == "json":
        from raydr.workflows.console import speak_json

        speak_json()


def add_submit(verbs: Any, *, settings_of: SettingsOf) -> None:
    """Add `raydr submit` to the verbs."""
    plain = argparse.RawDescriptionHelpFormatter
    one = verbs.add_parser(
        "submit",
        help="a verb as a job of a Ray cluster, in one command",
        usage="raydr submit [options] -- VERB ...",
        description=_SUBMIT,
        formatter_class=plain,
    )
    one.add_argument("--follow", action="store_true", help="show the job's log, and exit with its status")
    one.add_argument("--address", metavar="URL", help="the cluster's job API, http://HOST:8265")
    one.add_argument("--name", help="of the job; default: of the verb and a digest of its settings")
    one.add_argument("--working-dir", default=".", metavar="DIR", help="whose files go along; default: this folder")
    one.add_argument(
        "--runtime-env", metavar="FILE", help=f"Ray's runtime environment; default: {_RUNTIME_ENV} of that folder"
    )
    one.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME",
        help="a variable, no secret, whose value goes along; repeat it. Others are those of the cluster",
    )
    one.add_argument("job", nargs="+", metavar="VERB ...", help="what would stand behind `raydr`")
    one.set_defaults(command=lambda options: _submit(options, settings_of))


def _submit(options: argparse.Namespace, settings_of: SettingsOf) -> int:
    folder = Path(options.working_dir)
    is_uri = "://" in options.working_dir
    if not is_uri and not folder.is_dir():
        raise InputError(f"submit: --working-dir: {folder} is no folder")
    # The job will see its files from there.
    with contextlib.nullcontext() if is_uri else contextlib.chdir(folder):
        settings = settings_of(options.job)
    runtime_env = options.runtime_env
    if runtime_env is None and not is_uri and (folder / _RUNTIME_ENV).is_file():
        runtime_env = str(folder / _RUNTIME_ENV)
    from raydr.workflows.submit import submit

    return submit(
        options.job,
        settings=settings,
        name=options.name,
        address=options.address,
        working_dir=options.working_dir,
        runtime_env=runtime_env,
        environment=options.env,
        follows=options.follow,
    )


def add_doctor(verbs: Any) -> argparse.ArgumentParser:
    """Add `raydr doctor` to the verbs, but for the options of settings."""
    plain = argparse.RawDescriptionHelpFormatter
    one: argparse.ArgumentParser = verbs.add_parser(
        "doctor",
        help="what is wrong with a cluster, before anything is spent",
        description=_DOCTOR,
        formatter_class=plain,
    )
    add_progress_option(one)
    one.set_defaults(command=_doctor)
    return one


def doctor_settings(options: argparse.Namespace) -> Any:
    """The settings of the job, or of the site, that is to be looked at."""
    from raydr.config.load import assignments, load_any

    return load_any(options.config, overrides=assignments(options.set))


def _doctor(options: argparse.Namespace) -> int:
    settings = doctor_settings(options)
    from raydr.workflows.environment import set_environment

    set_environment(settings.cluster.address)
    speak_as(options)
    from raydr.workflows.doctor import doctor

    return doctor(settings)
