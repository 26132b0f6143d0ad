"""The search space: what is tried for each dotted key of the distill settings."""

from collections.abc import Mapping
from typing import Any

from ray import tune

from raydr.config.space import Choice, Uniform
from raydr.config.stages import DistillStage


def domains(space: Mapping[str, Uniform | Choice]) -> dict[str, Any]:
    """Ray Tune's domains by dotted key."""
    return {key: _domain(dimension) for key, dimension in space.items()}


def _domain(dimension: Uniform | Choice) -> Any:
    match dimension:
        case Uniform():
            draw = tune.loguniform if dimension.kind == "loguniform" else tune.uniform
            return draw(dimension.low, dimension.high)
        case Choice():
            return tune.choice(list(dimension.values))


def current_point(space: Mapping[str, Uniform | Choice], settings: DistillStage) -> dict[str, Any]:
    """The settings' own value of every searched key: the hand-set student is the first trial."""
    tree: Any = settings.model_dump(mode="json")
    point = {}
    for key in space:
        value = tree
        for part in key.split("."):
            value = value[part]
        point[key] = value
    return point
