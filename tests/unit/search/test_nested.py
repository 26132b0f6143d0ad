"""When the states of trials of several workers are deleted."""

import time
from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial

from raydr.search.nested import Farewell


def trial(number, status):
    return SimpleNamespace(status=status, config={"trial": {"number": number}})


@pytest.fixture
def states(tmp_path):
    """Makes the states of a trial; ``are_gone``: its workers have ended."""

    def make(number, *, are_gone):
        folder = tmp_path / f"trial-{number:05d}-train"
        (folder / "epoch_0001").mkdir(parents=True)
        if are_gone:
            (folder / "workers_are_gone").touch()
        return folder

    return make


def test_states_of_a_trial_that_is_done_and_whose_workers_are_gone_are_deleted_and_no_others(tmp_path, states):
    done, working, failed = states(0, are_gone=True), states(1, are_gone=False), states(2, are_gone=True)
    farewell = Farewell(str(tmp_path))
    trials = [trial(0, Trial.TERMINATED), trial(1, Trial.RUNNING), trial(2, Trial.ERROR)]
    farewell.on_step_end(0, trials)
    assert not done.exists()
    assert working.exists()
    assert failed.exists(), "what failed it may be put right, and it goes on from there"


def test_workers_that_are_still_ending_are_waited_for_after_the_last_trial_only(tmp_path, states):
    folder = states(0, are_gone=False)
    farewell = Farewell(str(tmp_path), patience_s=0.5)
    started = time.monotonic()
    farewell.on_step_end(0, [trial(0, Trial.TERMINATED), trial(1, Trial.PENDING)])
    assert time.monotonic() - started < 0.4
    farewell.on_step_end(1, [trial(0, Trial.TERMINATED)])
    assert time.monotonic() - started >= 0.5
    assert folder.exists(), "a worker may be writing there"
    (folder / "workers_are_gone").touch()
    farewell.on_step_end(2, [trial(0, Trial.TERMINATED)])
    assert not folder.exists()
