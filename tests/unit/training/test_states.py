"""States in a folder: whole ones only, newest first, written although storage fails now and then."""

import json
import os

import pyarrow.fs as pafs
import pytest

from raydr.training.states import SavedStates


@pytest.fixture
def states(tmp_path):
    return SavedStates(pafs.LocalFileSystem(), str(tmp_path / "training"))


def saves(number):
    def save_state(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "state.json").write_text(json.dumps({"epochs_done": number}))

    return save_state


def write(states, name, number, *, mtime):
    states.write(name, saves(number))
    os.utime(states.path(name, "state.json"), (mtime, mtime))


def test_a_training_that_never_saved_has_no_states(states):
    assert states.names() == []
    assert states.describe_newest() is None
    assert not states.drop_torn_list()


def test_states_are_found_by_when_they_were_finished_whatever_their_names(states):
    write(states, "step_00000080_a", 2, mtime=1000)
    write(states, "step_00000040_b", 1, mtime=2000)
    write(states, "epoch_00002_a", 3, mtime=1500)
    assert states.names() == ["step_00000040_b", "epoch_00002_a", "step_00000080_a"]
    assert states.describe_newest() == {"epochs_done": 1}


def test_of_states_finished_in_the_same_second_the_one_that_is_farther_is_newer(states):
    """Object stores know the second, not more; by their names the first of these would come last."""
    write(states, "epoch_00001_a", 2, mtime=1000)
    write(states, "step_00000090_a", 1, mtime=1000)
    write(states, "step_00000020_a", 0, mtime=1000)
    assert states.names() == ["epoch_00001_a", "step_00000090_a", "step_00000020_a"]


def test_a_state_that_was_cut_off_in_writing_is_none(states, tmp_path):
    write(states, "step_1", 1, mtime=1000)
    cut = tmp_path / "training" / "step_2"
    cut.mkdir()
    (cut / "model.safetensors").write_bytes(b"weigh")
    assert states.names() == ["step_1"]


def test_what_killed_attempts_leave_is_deleted_and_nothing_else(states, tmp_path):
    for number in range(6):
        write(states, f"step_{number}", number, mtime=1000 + number)
    for name in ("epoch_00009_cut", "artifacts"):
        (tmp_path / "training" / name).mkdir()
        (tmp_path / "training" / name / "model.safetensors").write_bytes(b"weigh")
    (tmp_path / "training" / "checkpoint_manager_snapshot.json").write_text("{}")
    states.drop_leftovers()
    left = sorted(path.name for path in (tmp_path / "training").iterdir())
    assert left == ["artifacts", "checkpoint_manager_snapshot.json", "step_2", "step_3", "step_4", "step_5"]


def test_an_unreadable_description_is_passed_over_for_an_older_one(states, tmp_path):
    write(states, "step_1", 1, mtime=1000)
    write(states, "step_2", 2, mtime=2000)
    (tmp_path / "training" / "step_2" / "state.json").write_text('{"epochs')
    assert states.names()[0] == "step_2"  # the engine says that it is torn
    assert states.describe_newest() == {"epochs_done": 1}


def test_a_write_that_fails_once_is_made_again(states, monkeypatch):
    monkeypatch.setattr("raydr.training.states._FIRST_PAUSE_S", 0.01)
    calls = []

    def save_state(folder):
        calls.append(folder)
        if len(calls) == 1:
            raise OSError("no space left on device")
        saves(7)(folder)

    states.write("step_7", save_state)
    assert len(calls) == 2
    assert states.describe("step_7") == {"epochs_done": 7}


def test_storage_that_goes_on_failing_is_an_error_in_the_end(states, monkeypatch):
    monkeypatch.setattr("raydr.training.states._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("raydr.training.states._PATIENCE_S", 0.05)

    def save_state(_folder):
        raise OSError("read-only file system")

    with pytest.raises(OSError, match="read-only"):
        states.write("step_7", save_state)


def test_where_storage_is_no_local_folder_states_are_copied_there_and_back(tmp_path):
    (tmp_path / "store").mkdir()
    states = SavedStates(pafs.SubTreeFileSystem(str(tmp_path / "store"), pafs.LocalFileSystem()), "training")
    states.write("step_1", saves(1))
    assert states.names() == ["step_1"]
    with states.open("step_1") as folder:
        assert not folder.is_relative_to(tmp_path)
        assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert not folder.exists()


@pytest.mark.parametrize(
    ("content", "is_dropped"),
    [
        ('{"checkpoint_results": [{"checkpoint_dir_name": "step_1"}]}', False),
        ('{"checkpoint_results": [{"checkpoint_dir_name": "step_0"}]}', True),
        ('{"checkpoint_results": [{"checkpoint_di', True),
        ("[]", True),
        ("", True),
    ],
)
def test_a_list_of_rays_that_would_keep_it_from_starting_is_dropped(states, tmp_path, content, is_dropped):
    states.write("step_1", saves(1))
    path = tmp_path / "training" / "checkpoint_manager_snapshot.json"
    path.write_text(content)
    assert states.drop_torn_list() == is_dropped
    assert path.exists() != is_dropped
