"""The search space: dotted keys of the distill settings and what is tried for each."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from raydr.config.explain import Problem, wrong_keys
from raydr.config.override import with_overrides
from raydr.config.section import AsTuple, Section


class Uniform(Section):
    """A number drawn evenly between two bounds, or evenly in its logarithm."""

    kind: Literal["uniform", "loguniform"]
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high or (self.kind == "loguniform" and self.low <= 0):
            raise ValueError("low must be below high, and above 0 for loguniform")
        return self

    def samples(self) -> tuple[float, ...]:
        """Values to try out: one that is no whole number, and both ends."""
        return (self.low + 0.3819660113 * (self.high - self.low), self.low, self.high)


class Choice(Section):
    """One of several values."""

    kind: Literal["choice"]
    values: Annotated[tuple[Any, ...], Field(min_length=1), AsTuple]

    def samples(self) -> tuple[Any, ...]:
        """Values to try out: all."""
        return self.values


SAME_FOR_ALL = {
    "preset": "cannot be searched: it fills in what a file leaves out, once",
    "rounds": "cannot be searched: a trial is one round, the refit takes them all",
    "distillation.teacher_views": "cannot be searched: the teacher's outputs are computed once, for every trial",
    "optim.epochs": "cannot be searched: the search's own epochs is the length of a trial, distill's that of the refit",
}
"""Distill settings that every trial shares, and why."""


def check_space(space: dict[str, Uniform | Choice], distill: BaseModel, path: tuple[str, ...] = ("space",)) -> None:
    """Raise an error naming each key of ``space`` that is no distill setting or takes a value it may not have."""
    found: list[Problem] = []
    for key, domain in space.items():
        try:
            if key in SAME_FOR_ALL:
                raise ValueError(SAME_FOR_ALL[key])
            for value in domain.samples():
                with_overrides(distill, {key: value})
                if isinstance(value, Mapping):
                    raise ValueError("cannot be searched as a table; name the keys in it")
        except ValueError as error:
            # What is wrong may be told of a section above the key, so its own path is shown before it.
            found.append(((*path, key), str(error).removeprefix(f"{key}: ")))
    if found:
        raise wrong_keys(found)
