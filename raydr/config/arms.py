"""The arms of a study: ways to make a classifier of the same labels."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, model_validator

from raydr.config.explain import Problem, wrong_keys
from raydr.config.learning import DownstreamModelSettings
from raydr.config.override import with_overrides
from raydr.config.section import AsTuple, PositiveFloat, Section
from raydr.config.stages import DistillStage, FinetuneStage

StageSettings = TypeVar("StageSettings", bound=Section)
PRETRAINED = "pretrains."
"""What stands before the name of a study's pretraining in `model.weights`."""


def _as_dotted(value: Any) -> Any:
    """Tables within tables as dotted keys: a table of its own would replace all other keys of the arm's."""
    if not isinstance(value, Mapping):
        return value
    return {name: dict(_leaves(part)) if isinstance(part, Mapping) else part for name, part in value.items()}


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _at(kind: type[StageSettings], arm: Section, overrides: Mapping[str, Any]) -> StageSettings:
    """What an arm, which inherits from ``kind``, trains where some keys are others."""
    own = kind.model_validate(arm.model_dump(mode="json", include=set(kind.model_fields)))
    found = with_overrides(own, overrides)
    with_overrides(arm, overrides)  # what an arm checks beyond its stage
    return found


AtBudgets = Annotated[dict[str, dict[str, Any]], BeforeValidator(_as_dotted)]


class ProbeStage(Section):
    """A linear probe: logistic regression (referable or not) on the standardised features of a frozen backbone."""

    model: DownstreamModelSettings = DownstreamModelSettings()
    inverse_strengths: Annotated[tuple[PositiveFloat, ...], AsTuple, Field(min_length=1)] = (
        1e-4,
        1e-3,
        1e-2,
        1e-1,
        1.0,
        10.0,
    )
    """Inverse strengths of the L2 penalty, scikit-learn's C; the validation patients' AUC chooses among them."""
    class_balance: bool = True
    """Weigh classes by the inverse of their frequency among the labels."""


class FinetuneArm(FinetuneStage):
    """A supervised network on the labels, as `raydr finetune` makes it."""

    kind: Literal["finetune"]
    at: AtBudgets = Field(default_factory=dict)
    """Dotted keys of the arm that are others at one budget, by the budget: few labels want more epochs."""

    def stage(self, budget: str) -> FinetuneStage:
        """Its settings at a budget; ValueError naming a key of `at` that is wrong."""
        return _at(FinetuneStage, self, self.at.get(budget, {}))


class ProbeArm(ProbeStage):
    """A linear probe on the labels."""

    kind: Literal["probe"]
    at: AtBudgets = Field(default_factory=dict)
    """Dotted keys of the arm that are others at one budget, by the budget."""

    def stage(self, budget: str) -> ProbeStage:
        """Its settings at a budget; ValueError naming a key of `at` that is wrong."""
        return _at(ProbeStage, self, self.at.get(budget, {}))


class DistillArm(DistillStage):
    """A student on all training images, as `raydr distill` makes it."""

    kind: Literal["distill"]
    teacher: str | None = None
    """The arm whose model, of the same labels and seed, teaches. Null: nobody does, and the student learns from the
    labels and from its own sure calls (`distillation.consistency_weight`): FixMatch, arXiv:2001.07685."""
    head: Literal["binary", "grades"] = "binary"
    """Of a student that nobody teaches; the others have their teacher's."""
    at: AtBudgets = Field(default_factory=dict)
    """Dotted keys of the arm that are others at one budget, by the budget: few labels want more epochs."""

    def stage(self, budget: str) -> DistillStage:
        """Its settings at a budget; ValueError naming a key of `at` that is wrong."""
        return _at(DistillStage, self, self.at.get(budget, {}))

    @model_validator(mode="after")
    def _can_learn(self) -> Self:
        found: list[Problem] = []
        if self.rounds != 1:
            text = (
                f"must be 1 in a study (got {self.rounds}); a second round is another arm, whose teacher is the first"
            )
            found.append((("rounds",), text))
        if self.teacher is None:
            wanted = self.distillation
            if self.start == "teacher":
                found.append((("start",), "must be 'model' where there is no teacher"))
            if not wanted.consistency_weight:
                text = "must be above 0 where there is no teacher, or nothing is learnt from images without labels"
                found.append((("distillation", "consistency_weight"), text))
            if wanted.targets == "online":
                found.append((("distillation", "targets"), "must be 'cached' where there is no teacher to ask"))
        if found:
            raise wrong_keys(found)
        return self


Arm = Annotated[FinetuneArm | ProbeArm | DistillArm, Field(discriminator="kind")]
"""One arm; `kind` says what it trains, and so which keys it has."""
Stage = FinetuneStage | ProbeStage | DistillStage
"""What an arm trains, without its name and its budgets."""
