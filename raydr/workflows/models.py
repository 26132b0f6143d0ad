"""Where a model is: a folder as it is, a registered one fetched."""

from raydr import storage
from raydr.config.jobs import Job
from raydr.tracking.models import fetch_model


def model_folder(model: str, settings: Job) -> str:
    """The folder of a model named by folder or by MLflow URI (`models:/raydr@champion`, `runs:/…`)."""
    if model.startswith(("models:", "runs:")):
        return fetch_model(model, tracker_uri=settings.tracking.uri)
    return storage.absolute(model)
