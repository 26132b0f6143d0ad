"""A verb's model into MLflow and its registry."""

from collections.abc import Mapping
from typing import Any

from raydr import __version__
from raydr.images.jpeg import encode
from raydr.images.phantom import draw_phantom
from raydr.learning.validation import VALIDATION_AUC
from raydr.tracking.models import LoggedModel, log_model
from raydr.tracking.registry import version_made_by
from raydr.tracking.runs import Tracking


def register(
    tracker: Tracking, run_id: str, *, folder: str, name: str | None, role: str, tags: Mapping[str, str]
) -> LoggedModel:
    """Log a model folder below the run that made it, with its ``role`` (teacher, student) and further tags.

    Registered under ``name`` unless that is None. What an attempt that was cut off has registered with the same tags is
    that model's version, and no other is made.
    """
    tags = {"raydr.role": role, "raydr.version": __version__, **tags}
    if name is not None and (version := version_made_by(tracker, name, run_id, tags)) is not None:
        return LoggedModel(f"models:/{name}/{version}", version)
    return log_model(
        tracker,
        run_id,
        model_folder=folder,
        example_jpeg=encode(draw_phantom(patient_seed=0, eye="left", grade=2)),  # nobody's eye
        registered_name=name,
        tags=tags,
    )


def made_by(metrics: Mapping[str, Any], *, settings_digest: str, num_labels: int) -> dict[str, str]:
    """The tags that say how a model was made: its label budget, its settings, its validation AUC.

    Args:
        metrics: Of the stage that made it.
        settings_digest: Of that stage.
        num_labels: In the label budget.
    """
    auc = metrics.get(VALIDATION_AUC)
    return {
        "raydr.label_budget": str(num_labels),
        "raydr.settings_digest": settings_digest,
        "raydr.validation_auc": "not defined" if auc is None else f"{auc:.4f}",
    }
