"""One stage's settings out of a verb's, which has the site's and the data's beside them."""

from typing import TypeVar

from pydantic import BaseModel

StageSettings = TypeVar("StageSettings", bound=BaseModel)


def section(kind: type[StageSettings], settings: BaseModel) -> StageSettings:
    """The stage's own part of ``settings``, which inherits from ``kind``."""
    names = set(kind.model_fields)
    return kind.model_validate(settings.model_dump(mode="json", include=names))
