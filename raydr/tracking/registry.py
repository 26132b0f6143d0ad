"""The registry in MLflow: which version of a model has which alias, and what is known of a version."""

from collections.abc import Mapping
from typing import Final

from raydr.tracking.models import fetch_model
from raydr.tracking.params import clean_tags
from raydr.tracking.runs import Tracker, Tracking, store_errors
from raydr.tracking.store import open_client

CHAMPION: Final = "champion"
"""The version that is in use."""
CHALLENGER: Final = "challenger"
"""The version that came last."""


def set_alias(tracker: Tracking, name: str, alias: str, version: str) -> None:
    """Point an alias of a registered model at a version; InputError or RunError as for `log_model`."""
    if isinstance(tracker, Tracker):
        with store_errors(tracker.uri):
            open_client(tracker.uri).set_registered_model_alias(name, alias, version)


def version_of(tracker: Tracking, name: str, alias: str) -> str | None:
    """The version of a registered model that has an alias, None where none has; raises as `set_alias` does."""
    if not isinstance(tracker, Tracker):
        return None
    with store_errors(tracker.uri):
        from mlflow.exceptions import MlflowException

        try:
            aliases = open_client(tracker.uri).get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
    return str(aliases[alias]) if alias in aliases else None


def tag_version(tracker: Tracking, name: str, version: str, tags: Mapping[str, str]) -> None:
    """Set tags of a version, replacing what had their names; raises as `set_alias` does."""
    if isinstance(tracker, Tracker):
        with store_errors(tracker.uri):
            client = open_client(tracker.uri)
            for key, value in clean_tags(tags).items():
                client.set_model_version_tag(name, version, key, value)


def fetch_version(tracker: Tracking, name: str, version: str) -> str:
    """The local model folder of a version; raises, and lasts, as `fetch_model` says."""
    uri = tracker.uri if isinstance(tracker, Tracker) else None
    return fetch_model(f"models:/{name}/{version}", tracker_uri=uri)


def version_made_by(tracker: Tracking, name: str, run_id: str, tags: Mapping[str, str]) -> str | None:
    """The newest version that a run has registered with all of these tags, None where there is none."""
    if not isinstance(tracker, Tracker) or not run_id:
        return None
    with store_errors(tracker.uri):
        found = open_client(tracker.uri).search_model_versions(f"name = '{name}'")
    wanted = clean_tags(tags).items()
    mine = [int(one.version) for one in found if one.run_id == run_id and wanted <= one.tags.items()]
    return str(max(mine)) if mine else None
