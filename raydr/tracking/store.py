"""Which MLflow store a run is recorded in, and the client of it."""

import logging
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from raydr.errors import InputError
from raydr.storage import absolute, is_local, join

if TYPE_CHECKING:
    from mlflow import MlflowClient

# What raydr wants of MLflow in its own process; a value that the user has set stays.
_ENVIRONMENT: Final = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # no lines about migrations, URLs and versions
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it prints the URI of every run as it is, password included
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a hospital's cluster tells nobody what it does
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",  # else whoever may write to the registry runs code on its readers
    "MLFLOW_UV_AUTO_DETECT": "false",  # a lock file that lies in the current folder does not belong into the model
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # about 14 s; MLflow's own 7 hold a training up for 4 minutes
    "GIT_PYTHON_REFRESH": "quiet",  # no warning where git is not installed
}
_SQLITE: Final = re.compile(r"(?P<scheme>sqlite(?:\+\w+)?:///)(?P<path>[^?]*)(?P<query>\?.*)?")
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/\s\"']+@")


@dataclass(frozen=True, slots=True)
class Store:
    """An MLflow store: its URI, and where its experiments keep their files (None where a server decides)."""

    uri: str
    artifact_root: str | None


def choose_store(*, uri: str | None, default_folder: str) -> Store:
    """The store to use: ``uri``, or else that of ``MLFLOW_TRACKING_URI``, or else SQLite in ``default_folder``.

    The setting wins over the environment, as it was written for this job; the environment wins over the default.
    Local paths become absolute and so does the place of files, since workers have other current folders and MLflow's
    own default is the current one.

    Raises:
        InputError: The default was to be used, and ``default_folder`` is in an object store, where SQLite cannot be.
    """
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not chosen:
        if not is_local(default_folder):
            raise InputError(
                f"tracking.uri: {default_folder} is in an object store, which cannot hold MLflow's SQLite file; set "
                "tracking.uri or MLFLOW_TRACKING_URI to an MLflow server, or tracking.enabled to false"
            )
        chosen = f"sqlite:///{join(_local_path(default_folder), 'mlflow.db')}"
    if sqlite := _SQLITE.fullmatch(chosen):
        path = _local_path(sqlite["path"])
        return Store(f"{sqlite['scheme']}{path}{sqlite['query'] or ''}", join(str(Path(path).parent), "mlartifacts"))
    scheme = urlsplit(chosen).scheme
    if scheme.startswith(("postgresql", "mysql", "mssql")):
        return Store(chosen, join(absolute(default_folder), "mlartifacts"))
    return Store(absolute(chosen) if scheme == "" and chosen != "databricks" else chosen, None)


@lru_cache(maxsize=8)
def open_client(uri: str) -> "MlflowClient":
    """The client of a store, one a process."""
    set_environment()
    from mlflow import MlflowClient

    if sqlite := _SQLITE.fullmatch(uri):
        Path(sqlite["path"]).parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=uri)


def set_environment() -> None:
    """Make MLflow quiet, private and without pickles in this process, before it is imported or after."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
    # It prints a page for every try that a database refuses; raydr says so in a line when it gives up.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def without_credentials(text: str) -> str:
    """``text`` with ``user:password@`` taken out of the URLs in it."""
    return _CREDENTIALS.sub("***@", text)


def _local_path(path: str) -> str:
    return absolute(path.removeprefix("file://"))
