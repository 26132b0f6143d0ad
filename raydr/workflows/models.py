"""Where a model is: a folder as it is, a registered one fetched."""

import contextlib
from collections.abc import Iterator

from raydr import storage
from raydr.config.jobs import Job
from raydr.engine.package import copy_model
from raydr.errors import InputError
from raydr.tracking.models import fetch_model

FETCHED = "fetched-model"
"""The name, among results, of a fetched model's copy."""


def model_folder(model: str, settings: Job) -> str:
    """The folder of a model named by folder or by MLflow URI (`models:/raydr@champion`, `runs:/…`)."""
    if _is_registered(model):
        return fetch_model(model, tracker_uri=settings.tracking.uri)
    return storage.absolute(model)


@contextlib.contextmanager
def on_every_node(model: str, folder: str, copy: str) -> Iterator[str]:
    """The folder of ``model`` as every node of the cluster can reach it.

    A fetched one is on the driver's machine only: it lies in ``copy``, among the results, while the block runs.
    """
    if not _is_registered(model):
        yield folder
        return
    with copied(folder, copy):
        yield copy


@contextlib.contextmanager
def copied(folder: str, copy: str) -> Iterator[None]:
    """A copy of a model folder while the block runs.

    Raises:
        InputError: The folder cannot be read.
    """
    try:
        try:
            copy_model(folder, copy)
        except storage.UnavailableError:
            raise
        except OSError as error:
            raise InputError(f"{folder}: cannot be read: {storage.cause_of(error)}") from None
        yield
    finally:
        storage.delete_folder(copy)


def _is_registered(model: str) -> bool:
    return model.startswith(("models:", "runs:"))
