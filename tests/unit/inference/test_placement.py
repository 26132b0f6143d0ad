"""How scoring shares out a cluster's CPUs."""

import pytest

from raydr.inference.scoring import fit_cpus


@pytest.mark.parametrize(
    ("wanted", "nodes", "fitted"),
    [
        ((1.0, 1.0), [2.0], (1.0, 1.0)),
        ((1.0, 1.0), [1.0], (0.5, 0.5)),
        ((3.0, 1.0), [2.0], (1.0, 0.6666)),
        ((4.0, 1.0), [1.0, 1.0], (1.0, 1.0)),
        ((1.0, 1.0), [64.0, 64.0], (1.0, 1.0)),
        ((0.5, 8.0), [4.0, 4.0], (0.5, 4.0)),
    ],
)
def test_an_actor_and_a_decoding_task_always_fit_side_by_side(wanted, nodes, fitted):
    actor, decode = fit_cpus(*wanted, nodes)
    assert (actor, decode) == pytest.approx(fitted, abs=1e-4)
    assert actor + decode <= sum(nodes)
    assert max(actor, decode) <= max(nodes)
