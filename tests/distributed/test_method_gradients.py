"""Every method on two workers is the method in one process on both workers' images: loss, gradient, target network."""

import numpy as np
import pytest
import torch
from method_gradients import (
    CASES,
    DETACHED,
    METHODS,
    MOMENTUM_METHODS,
    WITHOUT_BATCH_NORM,
    WITHOUT_SECOND_VIEW,
    Case,
    gradients_on_a_rank,
    loss_and_gradient,
    state_after_three_steps,
    states_on_a_rank,
)
from two_processes import run_on_two_ranks

pytestmark = pytest.mark.distributed

Found = dict[Case, tuple[float, np.ndarray]]


@pytest.fixture(scope="module")
def of_ranks() -> list[Found]:
    return run_on_two_ranks(gradients_on_a_rank)


@pytest.fixture(scope="module")
def alone() -> Found:
    torch.set_num_threads(1)  # as the two processes have
    return {case: loss_and_gradient(case, 0, 1) for case in [*CASES, DETACHED]}


def differences(case: Case, of_ranks: list[Found], alone: Found) -> list[float]:
    """Each rank's gradient less the one process's, in lengths of the latter."""
    expected = alone[case][1]
    return [float(np.linalg.norm(found[case][1] - expected) / np.linalg.norm(expected)) for found in of_ranks]


@pytest.mark.parametrize("case", [case for case in CASES if case.batch_norm != "local"], ids=str)
def test_two_workers_have_the_loss_and_the_gradient_of_one_process(case, of_ranks, alone):
    assert np.mean([found[case][0] for found in of_ranks]) == pytest.approx(alone[case][0], rel=1e-4)
    assert max(differences(case, of_ranks, alone)) < 1e-3


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(WITHOUT_BATCH_NORM)))
def test_workers_with_batch_statistics_of_their_own_have_another_gradient(method, of_ranks, alone):
    """So the test above can fail: it sees whose images the statistics are of."""
    assert min(differences(Case(method, "local"), of_ranks, alone)) > 0.05


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(WITHOUT_SECOND_VIEW)))
def test_twins_make_another_gradient(method, alone):
    own, other = (alone[Case(method, "synced", twins=twins)][1] for twins in (False, True))
    assert np.linalg.norm(own - other) > 0.02 * np.linalg.norm(own)


def test_a_detached_gather_has_the_right_loss_and_another_gradient(of_ranks, alone):
    """So the test above can fail: it sees the part of the gradient that comes from other workers' losses."""
    assert np.mean([found[DETACHED][0] for found in of_ranks]) == pytest.approx(alone[DETACHED][0], rel=1e-4)
    expected = alone[Case("simclr", "synced")][1]
    for found in of_ranks:
        assert np.linalg.norm(found[DETACHED][1] - expected) > 0.05 * np.linalg.norm(expected)


def test_both_workers_and_one_process_have_the_same_target_network_after_three_steps():
    of_ranks = run_on_two_ranks(states_on_a_rank)
    for method in MOMENTUM_METHODS:
        alone, (first, second) = state_after_three_steps(method, 0, 1), [found[method] for found in of_ranks]
        for name, value in first["target"].items():
            np.testing.assert_array_equal(value, second["target"][name], err_msg=name)
        for name, value in first["rest"].items():  # DINO's centre and SimCLR's memory are of all workers' images
            np.testing.assert_array_equal(value, second["rest"][name], err_msg=name)
            rounding = 1e-3 * float(np.abs(value).max())
            np.testing.assert_allclose(value, alone["rest"][name], rtol=0, atol=rounding, err_msg=name)
        weights = [name for name in alone["target"] if name.endswith(("weight", "bias"))]
        statistics = [name for name in alone["target"] if name.endswith(("running_mean", "running_var"))]
        moved = distance(first["target"], first["start"], weights)
        assert moved > 0
        assert distance(first["target"], first["online"], weights) > 0.1 * moved  # it follows, and is behind
        assert distance(first["target"], alone["target"], weights) < 0.01 * moved
        gathered = distance(first["target"], first["start"], statistics)
        assert gathered > 1  # in its own passes
        assert distance(first["target"], alone["target"], statistics) < 1e-3 * gathered


def distance(one: dict[str, np.ndarray], other: dict[str, np.ndarray], names: list[str]) -> float:
    return float(np.sqrt(sum(np.square(one[name] - other[name]).sum() for name in names)))
