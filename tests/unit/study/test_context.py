"""A cell's context: which states it keeps, and what an attempt after it finds."""

import time

import pytest

from raydr.study.context import CellContext


def writer(epochs):
    """What writes a state of so many epochs, of two seconds each."""

    def write(folder):
        folder.mkdir(parents=True, exist_ok=True)
        history = ", ".join(f'{{"epoch": {epoch}, "seconds": 2.0}}' for epoch in range(epochs))
        (folder / "state.json").write_text(f'{{"epochs_done": {epochs}, "history": [{history}]}}')

    return write


def reported(context, epochs):
    for epoch in range(epochs):
        context.report({"epoch": float(epoch)}, writer(epoch + 1))


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test lets pass."""
    passed = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: passed[0])
    return passed


def test_the_two_newest_states_are_kept_and_the_next_attempt_goes_on_from_the_newest(tmp_path):
    reported(CellContext(str(tmp_path), save_every_s=0.0), 4)
    assert len(list(tmp_path.iterdir())) == 2
    later = CellContext(str(tmp_path), save_every_s=0.0)
    with next(later.states()) as folder:
        assert folder.name.startswith("epoch_00003")


def test_the_seconds_of_all_attempts_are_kept_by_the_clock_on_the_wall(tmp_path, clock):
    for attempt, passing in enumerate((5.0, 7.0)):
        context = CellContext(str(tmp_path), save_every_s=0.0)
        for state in context.states():
            with state:
                break
        clock[0] += passing  # of which the epoch's training says 2 and the looks at validation patients nothing
        context.report({"epoch": float(attempt)}, writer(attempt + 1))
        clock[0] += 100.0  # what an attempt did after its last state is lost with it
    later = CellContext(str(tmp_path), save_every_s=0.0)
    next(later.states())
    assert later.seconds_before == 12.0


def test_epochs_that_are_shorter_than_a_state_is_old_are_not_saved_but_steps_are(tmp_path):
    context = CellContext(str(tmp_path), save_every_s=60.0)
    reported(context, 4)
    assert not list(tmp_path.iterdir())
    context.keep(7, writer(0))
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("step_00000007")


def test_a_fresh_cell_has_no_state(tmp_path):
    context = CellContext(str(tmp_path / "none"), save_every_s=0.0)
    assert list(context.states()) == []
    assert (context.seconds_before, context.rank, context.world_size) == (0.0, 0, 1)
