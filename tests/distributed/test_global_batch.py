"""Two workers together are one process on the whole batch: loss, gradient, scores."""

import numpy as np
import pytest
from global_batch import loss_and_gradient, on_a_rank, scores_after_an_epoch, scores_of
from two_processes import run_on_two_ranks

pytestmark = pytest.mark.distributed


def test_simclr_on_two_workers_has_the_loss_and_the_gradient_of_one_process():
    loss, gradient = loss_and_gradient(0, 1)
    ranks = run_on_two_ranks(on_a_rank, False)
    assert np.mean([found for found, _ in ranks]) == pytest.approx(loss, abs=1e-6)
    for _, found in ranks:
        np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-7)


def test_a_detached_gather_has_the_right_loss_and_a_wrong_gradient():
    """So the test above can fail: comparing losses alone would not see it."""
    loss, gradient = loss_and_gradient(0, 1)
    ranks = run_on_two_ranks(on_a_rank, True)
    assert np.mean([found for found, _ in ranks]) == pytest.approx(loss, abs=1e-6)
    assert np.abs(ranks[0][1] - gradient).max() > 0.1 * np.abs(gradient).max()


def test_two_workers_score_every_image_once_in_the_pools_order():
    for together, alone, nobody in run_on_two_ranks(scores_of):
        np.testing.assert_allclose(together, alone, rtol=1e-5)
        assert nobody is None or nobody.tolist() == [[1, 1]]


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_after_an_epoch_all_workers_validate_and_keep_one_and_the_same_network(tmp_path, ema_decay):
    """Batch statistics included, which each worker gathers on its own part of a batch."""
    for first, second in zip(*run_on_two_ranks(scores_after_an_epoch, str(tmp_path), ema_decay), strict=True):
        np.testing.assert_array_equal(first, second)
