"""What one worker alone has to say all of them do, at the same step: save, stop, give up."""

import pytest
from agreeing_workers import rank_of_the_broken_row, train_on_a_rank
from two_processes import run_on_two_ranks

from raydr.engine.context import LocalContext
from raydr.engine.wish import Wish

pytestmark = pytest.mark.distributed


def test_a_wish_of_one_rank_to_save_is_done_by_both_at_the_same_step_and_costs_no_epoch(tmp_path):
    found = run_on_two_ranks(train_on_a_rank, str(tmp_path), {1: {2: Wish.SAVE}}, False)
    first, second = (rank["kept"] for rank in found)
    assert first == second == [4]  # asked before step 3, heard one step later, saved when that one is done
    assert [rank["error"] for rank in found] == [None, None]
    assert found[0]["epochs"] == 3


def test_a_wish_of_one_rank_to_stop_ends_both_at_the_same_step_with_one_state(tmp_path):
    found = run_on_two_ranks(train_on_a_rank, str(tmp_path), {1: {2: Wish.STOP}}, False)
    assert {rank["error"] for rank in found} == {"StoppedError: told to stop: the state at step 4 of epoch 0 is saved"}
    assert len(list(LocalContext(tmp_path).states())) == 1


def test_a_loss_that_is_no_number_on_one_rank_ends_both_and_names_that_rank(tmp_path):
    rank, step = rank_of_the_broken_row()
    found = run_on_two_ranks(train_on_a_rank, str(tmp_path), {}, True)
    for each in found:
        assert f"the loss is nan at epoch 0, step {step}, rank {rank}:" in each["error"]
    assert not list(LocalContext(tmp_path).states())
