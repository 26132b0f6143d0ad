"""The base of every settings section."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and values of another type (`"3"` is no number).

    The text under a field is its documentation.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
AsTuple = Field(strict=False)
"""For tuple fields: a TOML list is accepted for the tuple (its entries stay strict)."""
Seed = Annotated[int, Field(ge=0)]
