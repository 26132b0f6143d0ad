"""A verb's model into MLflow and its registry."""

from collections.abc import Mapping

from raydr.images.jpeg import encode
from raydr.images.phantom import draw_phantom
from raydr.tracking.models import LoggedModel, log_model
from raydr.tracking.runs import Tracking


def register(
    tracker: Tracking, run_id: str, *, folder: str, name: str | None, role: str, tags: Mapping[str, str]
) -> LoggedModel:
    """Log a model folder below the run that made it, with its ``role`` (teacher, student) and further tags.

    Registered under ``name`` unless that is None.
    """
    return log_model(
        tracker,
        run_id,
        model_folder=folder,
        example_jpeg=encode(draw_phantom(patient_seed=0, eye="left", grade=2)),  # nobody's eye
        registered_name=name,
        tags={"raydr.role": role, **tags},
    )
