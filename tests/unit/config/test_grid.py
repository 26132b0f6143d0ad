"""A study's grid: which cells there are, in which order, and which of them are wanted."""

import pytest

from raydr.config.grid import CellName, chosen, grid, ordered, unmatched

TEACHERS = {"student": "teacher", "grandchild": "student"}
CELLS = grid(["teacher", "student", "grandchild", "probe"], ["12", "all"], draws=2, seeds=2)


def test_every_arm_has_every_budget_draw_and_seed_and_all_labels_are_one_draw():
    assert len(CELLS) == len(set(CELLS)) == 4 * 2 * (2 + 1)
    assert {cell.draw for cell in CELLS if cell.budget == "12"} == {0, 1}
    assert {cell.draw for cell in CELLS if cell.budget == "all"} == {0}
    assert str(CELLS[0]) == "teacher/12/draw-0/seed-0"


def test_every_training_of_an_arm_with_a_budget_has_a_seed_of_its_own_and_a_teacher_its_students():
    seeds = {cell: cell.seed_from(7) for cell in CELLS if (cell.arm, cell.budget) == ("probe", "12")}
    assert len(set(seeds.values())) == len(seeds) == 4
    assert min(seeds.values()) == 7
    assert all(cell.of_arm("teacher").seed_from(7) == seed for cell, seed in seeds.items())


def test_a_teacher_comes_before_whom_it_teaches():
    assert ordered(["grandchild", "probe", "student", "teacher"], TEACHERS) == [
        "teacher",
        "student",
        "grandchild",
        "probe",
    ]


def test_arms_that_teach_each_other_in_a_circle_are_named():
    with pytest.raises(ValueError, match="a <- b <- a"):
        ordered(["a", "b"], {"a": "b", "b": "a"})
    with pytest.raises(ValueError, match="a <- a"):
        ordered(["a"], {"a": "a"})


def test_what_a_wanted_cell_needs_is_wanted_too_and_nothing_else():
    found = chosen(CELLS, ["grandchild/12/draw-1/*"], TEACHERS)
    assert set(found) == {
        CellName(arm, "12", 1, seed) for arm in ("teacher", "student", "grandchild") for seed in (0, 1)
    }
    assert found == [cell for cell in CELLS if cell in found], "in the order of the grid"
    assert chosen(CELLS, [], TEACHERS) == CELLS


def test_patterns_that_match_nothing_are_found():
    assert unmatched(CELLS, ["probe/*", "prob/*", "*/13/*"]) == ["prob/*", "*/13/*"]
