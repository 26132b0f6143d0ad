"""The cells of a study: every arm with every budget, draw of labels and seed, and what each needs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

ALL: Final = "all"
"""The budget of all labels, of which there is one draw."""
MOST_DRAWS: Final = 1000
"""Of one budget, and seeds of one draw: a cell's seed tells them apart."""


@dataclass(frozen=True, slots=True)
class CellName:
    """One training of a study: which arm, with which labels, from which seed."""

    arm: str
    budget: str
    """As the job file writes it, such as "95" or "all"."""
    draw: int
    seed: int

    def __str__(self) -> str:
        """As `only` and the folders of a study have it: `default/95/draw-0/seed-0`."""
        return f"{self.arm}/{self.budget}/draw-{self.draw}/seed-{self.seed}"

    def seed_from(self, first: int) -> int:
        """The seed of its training: ``first`` + 1000 × seed + draw. Draws differ in first weights and order too."""
        return first + MOST_DRAWS * self.seed + self.draw

    def of_arm(self, arm: str) -> "CellName":
        """Another arm's training on the same draw of labels, with the same seed."""
        return CellName(arm, self.budget, self.draw, self.seed)


def grid(arms: Sequence[str], budgets: Sequence[str], *, draws: int, seeds: int) -> list[CellName]:
    """All cells: the budgets in turn, each one's draws, seeds and arms."""
    return [
        CellName(arm, budget, draw, seed)
        for budget in budgets
        for draw in range(1 if budget == ALL else draws)
        for seed in range(seeds)
        for arm in arms
    ]


def ordered(arms: Sequence[str], teachers: Mapping[str, str]) -> list[str]:
    """The arms, each after its teacher.

    Args:
        arms: All of them.
        teachers: The teacher of those that have one.

    Raises:
        ValueError: Arms teach each other in a circle; the message names them.
    """
    found: dict[str, None] = {}
    for arm in arms:
        found |= dict.fromkeys(reversed(list(_ancestors(arm, teachers))))
    return list(found)


def chosen(cells: Sequence[CellName], patterns: Sequence[str], teachers: Mapping[str, str]) -> list[CellName]:
    """The cells that match a pattern, and their teachers, in the order of ``cells``; all where there is no pattern."""
    if not patterns:
        return list(cells)
    matched = [cell for cell in cells if any(fnmatchcase(str(cell), pattern) for pattern in patterns)]
    wanted = {cell.of_arm(arm) for cell in matched for arm in _ancestors(cell.arm, teachers)}
    return [cell for cell in cells if cell in wanted]


def unmatched(cells: Sequence[CellName], patterns: Sequence[str]) -> list[str]:
    """The patterns that no cell matches."""
    return [pattern for pattern in patterns if not any(fnmatchcase(str(cell), pattern) for cell in cells)]


def _ancestors(arm: str, teachers: Mapping[str, str]) -> Iterator[str]:
    """The arm, its teacher, its teacher's teacher."""
    seen: list[str] = []
    while True:
        if arm in seen:
            raise ValueError(" <- ".join([*seen, arm]))
        seen.append(arm)
        yield arm
        if arm not in teachers:
            return
        arm = teachers[arm]
