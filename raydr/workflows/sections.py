"""A stage's settings out of a verb's, which has the site's and the data's beside them, and the way back."""

from typing import Any, TypeVar

from pydantic import BaseModel

from raydr.config.jobs import Job

StageSettings = TypeVar("StageSettings", bound=BaseModel)
VerbSettings = TypeVar("VerbSettings", bound=Job)


def section(kind: type[StageSettings], settings: BaseModel) -> StageSettings:
    """The stage's own part of ``settings``, which inherits from ``kind``."""
    names = set(kind.model_fields)
    return kind.model_validate(settings.model_dump(mode="json", include=names))


def job_of(
    kind: type[VerbSettings], verb: str, out: str, whole: Job, part: BaseModel | None, **more: Any
) -> VerbSettings:
    """The settings of a verb for one part of a whole, with its site and seed; ``more`` goes before the part's keys."""
    tree = {
        "seed": whole.seed,
        "cluster": whole.cluster.model_dump(),
        "tracking": whole.tracking.model_dump(),
        **({} if part is None else part.model_dump(mode="json")),
    }
    return kind(**{**tree, "job": verb, "out": out, **more})
