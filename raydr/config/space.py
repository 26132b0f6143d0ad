"""The search space: dotted keys of the distill settings and what is tried for each."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import BaseModel, Field, model_validator

from raydr.config.explain import Problem, wrong_keys
from raydr.config.override import with_overrides
from raydr.config.section import AsTuple, Section


class Draw(Protocol):
    """What chooses values: a random generator or a search algorithm."""

    def number(self, key: str, low: float, high: float, *, is_log: bool) -> float:
        """A number between both ends."""

    def integer(self, key: str, low: int, high: int, *, is_log: bool) -> int:
        """A whole number between both ends, which may come too."""

    def place(self, key: str, count: int) -> int:
        """One of so many places, from 0."""


class _Domain(Section):
    """What is tried for one key."""

    when: dict[str, Annotated[tuple[Any, ...], Field(min_length=1), AsTuple]] = Field(default={})
    """Choices above this key and the values of each with which it is searched; with others it keeps distill's own."""


class Uniform(_Domain):
    """A number drawn evenly between two bounds, or evenly in its logarithm."""

    kind: Literal["uniform", "loguniform"]
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_bounds(self)
        return self

    def samples(self) -> tuple[float, ...]:
        """Values to try out: one that is no whole number, and both ends."""
        return (self.low + 0.3819660113 * (self.high - self.low), self.low, self.high)

    def drawn(self, key: str, draw: Draw) -> float:
        """A value of ``key``."""
        return draw.number(key, self.low, self.high, is_log=self.kind == "loguniform")

    def clamped(self, value: float) -> float:
        """The value nearest to ``value``."""
        return min(max(value, self.low), self.high)


class Integer(_Domain):
    """A whole number drawn evenly from two bounds and what is between them, or evenly in its logarithm."""

    kind: Literal["integer", "loginteger"]
    low: int
    high: int

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_bounds(self)
        return self

    def samples(self) -> tuple[int, ...]:
        """Values to try out: both ends."""
        return (self.low, self.high)

    def drawn(self, key: str, draw: Draw) -> int:
        """A value of ``key``."""
        return draw.integer(key, self.low, self.high, is_log=self.kind == "loginteger")

    def clamped(self, value: float) -> int:
        """The value nearest to ``value``."""
        return min(max(round(value), self.low), self.high)


class Choice(_Domain):
    """One of several values."""

    kind: Literal["choice"]
    values: Annotated[tuple[Any, ...], Field(min_length=1), AsTuple]

    def samples(self) -> tuple[Any, ...]:
        """Values to try out: all."""
        return self.values

    def drawn(self, key: str, draw: Draw) -> Any:
        """A value of ``key``."""
        return self.values[draw.place(key, len(self.values))]

    def clamped(self, value: Any) -> Any:
        """The value itself."""
        return value


Domain = Uniform | Integer | Choice
Space = dict[str, Annotated[Domain, Field(discriminator="kind")]]


SAME_FOR_ALL = {
    "preset": "cannot be searched: it fills in what a file leaves out, once",
    "rounds": "cannot be searched: a trial is one round, the refit takes them all",
    "distillation.teacher_views": "cannot be searched: the teacher's outputs are computed once, for every trial",
    "optim.epochs": "cannot be searched: the search's own epochs is the length of a trial, distill's that of the refit",
}
"""Distill settings that every trial shares, and why."""

_MAY_CHANGE = (
    "distillation",
    "labelled_fraction",
    "augment",
    "strong_augment",
    "class_balance",
    "model.drop_rate",
    "optim.learning_rate",
    "optim.weight_decay",
    "optim.gradient_clip",
)
"""Distill settings, or sections of them, with which a training can go on from a state of other ones."""


def sample(space: Mapping[str, Domain], draw: Draw) -> dict[str, Any]:
    """One value of every key whose condition is met."""
    found: dict[str, Any] = {}
    for key, domain in space.items():
        if all(parent in found and found[parent] in values for parent, values in domain.when.items()):
            found[key] = domain.drawn(key, draw)
    return found


def hand_set(space: Mapping[str, Domain], distill: BaseModel) -> dict[str, Any]:
    """The settings' own value of every searched key."""
    tree: Any = distill.model_dump(mode="json")
    point = {}
    for key in space:
        value = tree
        for part in key.split("."):
            value = value[part]
        point[key] = value
    return point


def extremes(space: Mapping[str, Domain]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key with samples that have it at its ends or at each of its choices, and its condition met."""
    for key, domain in space.items():
        for value in domain.samples():
            yield key, {**_met(space, key), key: value}


def check_space(space: Mapping[str, Domain], distill: BaseModel, path: tuple[str, ...] = ("space",)) -> None:
    """Raise an error naming each key of ``space`` that is no distill setting or takes a value it may not have."""
    found = _wrong_conditions(space, path)
    if found:
        raise wrong_keys(found)
    faults: dict[str, str] = {}
    for key, overrides in extremes(space):
        try:
            if key in SAME_FOR_ALL:
                raise ValueError(SAME_FOR_ALL[key])
            with_overrides(distill, overrides)
            if isinstance(overrides[key], Mapping):
                raise ValueError("cannot be searched as a table; name the keys in it")
        except ValueError as error:
            # What is wrong may be told of a section above the key, so its own path is shown before it.
            faults.setdefault(key, str(error).removeprefix(f"{key}: "))
    if faults:
        raise wrong_keys([((*path, key), text) for key, text in faults.items()])


def check_may_change(space: Mapping[str, Domain]) -> None:
    """Raise an error naming each key that cannot change in the middle of a training, as scheduler = 'pbt' has it."""
    found: list[Problem] = []
    for key, domain in space.items():
        if domain.when:
            found.append(
                (("space", key, "when"), "cannot be with scheduler = 'pbt', which changes every key at any time")
            )
        elif not any(key == name or key.startswith(f"{name}.") for name in _MAY_CHANGE):
            text = (
                f"cannot change in the middle of a training, as scheduler = 'pbt' has it; can: {', '.join(_MAY_CHANGE)}"
            )
            found.append((("space", key), text))
    if found:
        raise wrong_keys(found)


def _check_bounds(domain: Uniform | Integer) -> None:
    if not domain.low < domain.high or (domain.kind.startswith("log") and domain.low <= 0):
        raise ValueError(f"low must be below high, and above 0 for log{domain.kind.removeprefix('log')}")


def _met(space: Mapping[str, Domain], key: str) -> dict[str, Any]:
    """Values with which the condition of ``key`` is met."""
    found: dict[str, Any] = {}
    for parent, values in space[key].when.items():
        found |= {**_met(space, parent), parent: values[0]}
    return found


def _wrong_conditions(space: Mapping[str, Domain], path: tuple[str, ...]) -> list[Problem]:
    found: list[Problem] = []
    above: dict[str, tuple[Any, ...]] = {}
    for key, domain in space.items():
        for parent, values in domain.when.items():
            if parent not in above:
                allowed = ", ".join(above) or "there is none"
                text = f"must be a key of kind 'choice' that stands above {key} in the space; allowed: {allowed}"
                found.append(((*path, key, "when", parent), text))
            elif strange := [value for value in values if value not in above[parent]]:
                text = f"{strange[0]!r} is no value of {parent}; allowed: {', '.join(map(repr, above[parent]))}"
                found.append(((*path, key, "when", parent), text))
        if isinstance(domain, Choice):
            above[key] = domain.values
    return found
