"""Settings of the self-supervised methods, one section a method."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from raydr.config.section import PositiveFloat, PositiveInt, Section


class SimclrSettings(Section):
    """SimCLR (arXiv:2002.05709): every view must find its twin among all workers' views."""

    name: Literal["simclr"] = "simclr"
    temperature: PositiveFloat = 0.2
    hidden_dim: PositiveInt = 512
    projection_dim: PositiveInt = 128


def _named(value: Any) -> Any:
    """Settings that name no method are SimCLR's."""
    return {"name": "simclr", **value} if isinstance(value, Mapping) else value


MethodSettings = Annotated[SimclrSettings, BeforeValidator(_named)]
"""Any method's settings; `name` says whose."""
