"""A student of a teacher that is asked learns on two workers what one process would, its layer for features too."""

import numpy as np
import pytest
from distil_workers import loss_and_gradient
from two_processes import run_on_two_ranks

pytestmark = pytest.mark.distributed


def test_two_workers_gradient_is_one_processs_and_every_parameter_has_one():
    loss, gradient, num_without = loss_and_gradient(None)
    ranks = run_on_two_ranks(loss_and_gradient)
    assert num_without == 0
    assert np.mean([found for found, *_ in ranks]) == pytest.approx(loss, rel=1e-5)
    for _, found, without in ranks:
        assert without == 0
        np.testing.assert_allclose(found, gradient, rtol=1e-3, atol=1e-6)
    assert abs(ranks[0][0] - ranks[1][0]) > 1e-3
