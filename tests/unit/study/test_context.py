"""A cell's context: which states it keeps, and what an attempt after it finds."""

from raydr.study.context import CellContext


def writer(epochs):
    """What writes a state of so many epochs, of two seconds each."""

    def write(folder):
        folder.mkdir(parents=True)
        history = ", ".join(f'{{"epoch": {epoch}, "seconds": 2.0}}' for epoch in range(epochs))
        (folder / "state.json").write_text(f'{{"epochs_done": {epochs}, "history": [{history}]}}')

    return write


def reported(context, epochs):
    for epoch in range(epochs):
        context.report({"epoch": float(epoch)}, writer(epoch + 1))


def test_the_two_newest_states_are_kept_and_the_next_attempt_goes_on_from_the_newest(tmp_path):
    reported(CellContext(str(tmp_path), save_every_s=0.0), 4)
    assert len(list(tmp_path.iterdir())) == 2
    later = CellContext(str(tmp_path), save_every_s=0.0)
    with next(later.states()) as folder:
        assert folder.name.startswith("epoch_00003")
    assert later.seconds_before == 8.0, "that four epochs took"


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
