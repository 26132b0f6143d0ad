"""Models in MLflow: logged with all that serving needs, versioned and fetched again."""

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import raydr
from raydr.engine.package import DESCRIPTION, WEIGHTS, read_description
from raydr.errors import InputError
from raydr.storage import is_local, join, read_bytes
from raydr.tracking.params import clean_tags
from raydr.tracking.runs import Tracker, Tracking, find_run, store_errors
from raydr.tracking.store import choose_store, open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel as StoredModel
    from mlflow.models import ModelSignature

_NAME: Final = "model"
_ARTIFACT: Final = "model"
_FOLDER: Final = f"artifacts/{_ARTIFACT}"
"""Where a model folder is in what MLflow stores of a model."""
_MODEL_URI: Final = re.compile(r"models:/(m-[^/@]+|[^/@]+(@|/)[^/@]+)|runs:/[^/]+(/[^/]+)?")
_DISTRIBUTIONS: Final = (
    "mlflow",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "pyarrow",
    "safetensors",
    "simplejpeg",
    "timm",
    "torch",
    "torchvision",
)


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A model that MLflow has: its URI ("" where nothing is recorded), and its version where it is registered."""

    uri: str
    version: str | None = None


def log_model(
    tracker: Tracking,
    run_id: str,
    *,
    model_folder: str,
    example_jpeg: bytes,
    registered_name: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> LoggedModel:
    """Store a model with the run that made it, ready for `mlflow models serve`, and register it.

    What is stored: the model folder, `serve.py`, the code of this package (which is in no registry), pinned
    requirements, a signature and an input example. Nothing in it is a pickle.

    Args:
        tracker: Where to.
        run_id: The run that the model comes from; a model of a run that the store does not have gets none.
        model_folder: Folder of `engine.package.save_model`, local or in an object store.
        example_jpeg: A whole JPEG that is kept as the input example: one that everybody may see.
        registered_name: Name in the registry; None leaves it out of there.
        tags: Tags of the model and of its version.

    Raises:
        InputError: The folder holds no classifier, or MLflow refuses a name.
        RunError: The store does not answer.
    """
    if not isinstance(tracker, Tracker):
        return LoggedModel("")
    labels = clean_tags(tags or {})
    with store_errors(tracker.uri), tempfile.TemporaryDirectory() as temporary:
        local = _local_copy(model_folder, str(Path(temporary) / _ARTIFACT))
        client = open_client(tracker.uri)
        run = find_run(client, run_id)
        source = None if run is None else str(run.info.run_id)
        experiment = tracker.experiment_id() if run is None else run.info.experiment_id
        logged = client.create_logged_model(experiment, name=_NAME, source_run_id=source, tags=labels)
        status: Literal["READY", "FAILED"] = "FAILED"
        try:
            stored = str(Path(temporary) / "stored")
            _save(stored, local, example_jpeg, model_id=logged.model_id, run_id=source)
            client.log_model_artifacts(logged.model_id, stored)
            status = "READY"
        finally:
            client.finalize_logged_model(logged.model_id, status)
        if source is not None:
            _link(client, source, logged.model_id)
        if registered_name is None:
            return LoggedModel(f"models:/{logged.model_id}")
        _register(client, registered_name)
        made = client.create_model_version(
            registered_name, logged.artifact_location, source, tags=labels, model_id=logged.model_id
        )
        return LoggedModel(f"models:/{registered_name}/{made.version}", str(made.version))


def fetch_model(uri: str, *, tracker_uri: str | None) -> str:
    """The local model folder of ``models:/name@alias``, ``models:/name/1``, ``models:/m-…`` or ``runs:/id/model``.

    Only weights and their description are fetched, and code or pickles that are stored beside them never run. A store
    on this machine gives its own folder, which is not to be written to; any other a copy, which lasts as long as this
    process and is on this machine only.

    Args:
        uri: The model.
        tracker_uri: The MLflow store; None takes ``MLFLOW_TRACKING_URI``.

    Raises:
        InputError: No such model, not a model of raydr, or no store is known.
        RunError: The store does not answer.
    """
    store_uri = _known_store(uri, tracker_uri)
    with store_errors(store_uri):
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            location = _location(open_client(store_uri), uri)
            target = None if is_local(location) else _temporary_folder()
            folder = str(download_artifacts(join(location, _FOLDER), dst_path=target, tracking_uri=store_uri))
        except (MlflowException, FileNotFoundError) as error:
            code = getattr(error, "error_code", "RESOURCE_DOES_NOT_EXIST")
            if code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"):
                raise
            raise InputError(f"{uri}: no such model of raydr in the MLflow store") from error
    return folder


def _save(stored: str, local: str, example_jpeg: bytes, *, model_id: str, run_id: str | None) -> None:
    import pandas as pd
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    save_model(
        path=stored,
        python_model=str(Path(__file__).with_name("serve.py")),
        artifacts={_ARTIFACT: local},
        code_paths=[str(Path(raydr.__file__).parent)],
        pip_requirements=_requirements(),
        signature=_signature(has_grades=read_description(local).head == "grades"),
        input_example=pd.DataFrame({"image": [example_jpeg]}),
        mlflow_model=Model(run_id=run_id, model_id=model_id, model_uuid=model_id),
    )


def _signature(*, has_grades: bool) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, "probability")]
    outputs += [ColSpec(DataType.double, f"grade_{grade}") for grade in range(5 if has_grades else 0)]
    outputs.append(ColSpec(DataType.string, "error", required=False))
    return ModelSignature(Schema([ColSpec(DataType.binary, "image")]), Schema(outputs))


def _requirements() -> list[str]:
    """The installed versions, without the build's label: indexes have 2.9.1, not 2.9.1+cpu."""
    return [f"{name}=={installed_version(name).partition('+')[0]}" for name in _DISTRIBUTIONS]


def _local_copy(folder: str, target: str) -> str:
    """The files that make a classifier's folder, and no others, in a local folder; InputError where it is none."""
    if read_description(folder).head is None:
        raise InputError(f"{folder}: is a pretrained backbone without a head, which cannot be served")
    Path(target).mkdir()
    for name in (WEIGHTS, DESCRIPTION):
        (Path(target) / name).write_bytes(read_bytes(join(folder, name)))
    return target


def _link(client: "MlflowClient", run_id: str, model_id: str) -> None:
    """Show the model in its run."""
    from mlflow.entities import LoggedModelOutput

    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


def _register(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _known_store(uri: str, tracker_uri: str | None) -> str:
    if not _MODEL_URI.fullmatch(uri):
        raise InputError(
            f"{uri}: no model URI; allowed are models:/NAME@ALIAS, models:/NAME/VERSION and runs:/ID/model"
        )
    if not tracker_uri and not os.environ.get("MLFLOW_TRACKING_URI", "").strip():
        raise InputError(f"{uri}: no MLflow store is known; set tracking.uri or MLFLOW_TRACKING_URI")
    return choose_store(uri=tracker_uri, default_folder="").uri


def _temporary_folder() -> str:
    folder = tempfile.mkdtemp(prefix="raydr-model-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _location(client: "MlflowClient", uri: str) -> str:
    """Where the stored model is."""
    from mlflow.store.artifact.utils.models import get_model_name_and_version

    if uri.startswith("runs:/"):
        return _location_in_run(client, uri)
    found = get_model_name_and_version(client, uri)  # type: ignore[no-untyped-call]
    if len(found) == 1:
        return str(client.get_logged_model(found[0]).artifact_location)
    return str(client.get_model_version_download_uri(*found))


def _location_in_run(client: "MlflowClient", uri: str) -> str:
    """Where the model that a run logged last under the name in ``uri`` is."""
    run_id, _, name = uri.removeprefix("runs:/").strip("/").partition("/")
    outputs = client.get_run(run_id).outputs
    made = [client.get_logged_model(output.model_id) for output in outputs.model_outputs] if outputs else []
    named = [model for model in made if model.name == (name or _NAME)]
    if not named:
        raise InputError(f"{uri}: the run has logged no model of this name; its names are {_names(made)}")
    return str(max(named, key=lambda model: model.creation_timestamp).artifact_location)


def _names(models: Sequence["StoredModel"]) -> str:
    return ", ".join(sorted({model.name for model in models})) or "none"
