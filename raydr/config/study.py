"""Settings of a study: what labels are worth to different ways of learning."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from raydr.config.arms import PRETRAINED, Arm, DistillArm, Stage
from raydr.config.explain import Problem, wrong_keys
from raydr.config.grid import MOST_DRAWS, CellName, chosen, grid, ordered, unmatched
from raydr.config.images import PreprocessSettings
from raydr.config.section import AsTuple, PositiveInt, Section
from raydr.config.sources import BudgetSettings
from raydr.config.stages import FinetuneStage, IndexStage, PretrainStage

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_VALIDATION = "validation"


class StudyStage(Section):
    """A grid of arms, label budgets, draws of labels and seeds; AUC against number of labels comes of it.

    Each cell of it is one training, on one device. A cell that stands is not trained again: with other settings of one
    arm, that arm's cells and those it teaches are.
    """

    budgets: Annotated[tuple[PositiveInt | Literal["all"], ...], AsTuple, Field(min_length=1)]
    """Labelled training images, drawn by patient, each draw's smaller budgets within its larger ones; "all": every
    label of the training patients, one draw. The labels of all validation patients are used beside them."""
    draws: Annotated[int, Field(gt=0, le=MOST_DRAWS)] = 3
    """Draws of the labels at each budget but "all", with the seeds 0, 1, …: three give an interval over draws."""
    seeds: Annotated[int, Field(gt=0, le=MOST_DRAWS)] = 1
    """Trainings on each draw. Training s on draw d has the seed `seed` + 1000 s + d: draws have first weights and an
    order of their own. Pretraining and validation patients are the same in all."""
    reference: str | None = None
    """The arm that the others are compared with, draw by draw."""
    cpus_per_cell: Annotated[float, Field(gt=0)] = 1.0
    gpus_per_cell: Annotated[float, Field(ge=0)] = 0.0
    """0.25: four cells share a GPU; above 1 is of no use."""
    max_parallel: PositiveInt | None = None
    """Cells under way at once; null: as many as the cluster has room for."""
    only: Annotated[tuple[str, ...], AsTuple] = ()
    """Patterns of cells, ARM/BUDGET/draw-D/seed-S: those that match, and their teachers, are trained and scored, and
    no others. `*` stands for anything. Empty: all. The report is of every cell that stands, with the test figures that
    it has."""
    test: bool = True
    """Whether the test sets are opened when all cells are trained. While settings are being chosen: false, and the
    table has the validation patients' AUC alone. `openings.json` says when they were opened, and with what."""
    preprocess: PreprocessSettings = PreprocessSettings()
    """The input of every network."""
    index: IndexStage
    """The images; its `budget` is not used."""
    pretrains: dict[str, PretrainStage] = Field(default_factory=dict)
    """Backbones by name, each pretrained once on all training images; `model.weights = "pretrains.NAME"` starts an arm
    from one. Their check on the features takes a tenth of the labels, which nothing is chosen by."""
    arms: Annotated[dict[str, Arm], Field(min_length=1)]
    """What is compared, by name."""

    @property
    def budget_names(self) -> list[str]:
        """The budgets as cells and `at` write them."""
        return [str(budget) for budget in self.budgets]

    @property
    def teachers(self) -> dict[str, str]:
        """The teacher of each arm that has one."""
        found = {name: arm.teacher for name, arm in self.arms.items() if isinstance(arm, DistillArm)}
        return {name: teacher for name, teacher in found.items() if teacher is not None}

    @property
    def grid(self) -> list[CellName]:
        """All cells, each after its teacher's."""
        return grid(ordered(list(self.arms), self.teachers), self.budget_names, draws=self.draws, seeds=self.seeds)

    @property
    def cells(self) -> list[CellName]:
        """The cells that are wanted, each after its teacher's."""
        return chosen(self.grid, self.only, self.teachers)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found = [*self._wrong_names(), *self._wrong_teachers(), *self._wrong_stages()]
        if not found and (strange := unmatched(self.grid, self.only)):
            allowed = f"names are ARM/BUDGET/draw-D/seed-S, as {self.grid[0]}"
            found.append((("only",), f"{strange[0]!r} matches no cell; {allowed}"))
        if found:
            raise wrong_keys(found)
        return self

    def _wrong_names(self) -> Iterator[Problem]:
        for group, names in (("arms", self.arms), ("pretrains", self.pretrains)):
            for name in names:
                if not _NAME.fullmatch(name):
                    yield (group, name), "a name has letters, digits, - and _ only"
        if len(set(self.budgets)) < len(self.budgets):
            yield ("budgets",), "has a budget twice"
        if self.reference is not None and self.reference not in self.arms:
            yield ("reference",), f"{self.reference!r} is no arm; allowed: {', '.join(self.arms)}, or null"
        if self.index.budget != BudgetSettings(fraction=0.02):
            yield ("index", "budget"), "is not used by a study, which draws its own; leave it out and set budgets"
        if _VALIDATION in self.index.sources:
            yield ("index", "sources", _VALIDATION), "is what the validation patients' figures are called; rename it"

    def _wrong_teachers(self) -> Iterator[Problem]:
        strange = {name: teacher for name, teacher in self.teachers.items() if teacher not in self.arms}
        for name, teacher in strange.items():
            yield ("arms", name, "teacher"), f"{teacher!r} is no arm; allowed: {', '.join(self.arms)}, or null"
        if not strange:
            try:
                ordered(list(self.arms), self.teachers)
            except ValueError as error:
                first = str(error).partition(" ")[0]
                yield ("arms", first, "teacher"), f"arms teach each other in a circle: {error}"

    def _wrong_stages(self) -> Iterator[Problem]:
        budgets = self.budget_names
        for name, arm in self.arms.items():
            for budget in arm.at:
                if budget not in budgets:
                    yield ("arms", name, "at", budget), f"is no budget; allowed: {', '.join(budgets)}"
            starts = set()
            for budget in budgets:
                place = ("at", budget) if budget in arm.at else ()
                try:
                    stage = arm.stage(budget)
                except ValueError as error:
                    key, _, text = str(error).partition(": ")
                    yield ("arms", name, *place, key), text
                else:
                    found = list(self._wrong_start(("arms", name, *place), stage))
                    start = (stage.model.backbone, stage.model.weights, *(text for _, text in found))
                    if start not in starts:
                        yield from found
                    starts.add(start)

    def _wrong_start(self, path: tuple[str, ...], stage: Stage) -> Iterator[Problem]:
        weights, backbone = stage.model.weights, stage.model.backbone
        allowed = ", ".join([*(f"'{PRETRAINED}{name}'" for name in self.pretrains), "'none', 'timm', a folder or file"])
        key = (*path, "model", "weights")
        if weights == "pretrain":
            yield key, f"'pretrain' is the backbone of a `raydr run`; allowed: {allowed}"
        elif weights.startswith(PRETRAINED):
            found = self.pretrains.get(weights.removeprefix(PRETRAINED))
            if found is None:
                yield key, f"{weights!r} is none of this study's; allowed: {allowed}"
            elif found.model.backbone != backbone:
                yield key, f"{weights} is a {found.model.backbone!r}, from which a {backbone!r} cannot start"
            if isinstance(stage, FinetuneStage) and stage.head.start == "weights":
                text = f"'weights' needs a classifier's folder; {weights} is a backbone, so allowed is 'fresh'"
                yield (*path, "head", "start"), text
