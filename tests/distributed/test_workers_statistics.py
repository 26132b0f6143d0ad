"""Batch normalisation over all workers is that of one process on all images; shuffled keys come back in order."""

import numpy as np
import pytest
from two_processes import run_on_two_ranks
from workers_statistics import COUNTS, shuffling_on_a_rank, statistics_of, statistics_on_a_rank

pytestmark = pytest.mark.distributed


def test_statistics_over_workers_are_one_processs_in_output_gradient_and_running_values():
    ranks = run_on_two_ranks(statistics_on_a_rank)
    for dims in (2, 4):
        whole = statistics_of(dims, None)
        for rank, rows in enumerate((slice(0, COUNTS[0]), slice(COUNTS[0], None))):
            found = ranks[rank][dims]
            np.testing.assert_allclose(found["output"], whole["output"][rows], rtol=2e-3, atol=1e-3)
            np.testing.assert_allclose(found["gradient"], whole["gradient"][rows], rtol=2e-3, atol=1e-3)
            np.testing.assert_allclose(found["mean"], whole["mean"], rtol=1e-5)
            np.testing.assert_allclose(found["var"], whole["var"], rtol=1e-3)
        # The weight's gradient is each worker's own part; DDP's sum is the whole's.
        np.testing.assert_allclose(sum(r[dims]["weight"] for r in ranks), whole["weight"], rtol=2e-3, atol=1e-3)


def test_shuffled_views_change_workers_and_their_keys_come_back_in_order():
    ranks = run_on_two_ranks(shuffling_on_a_rank)
    for found in ranks:
        assert found["in_order"]
        assert found["generator"]  # each rank's own generator has moved on as it would have
    first, second = (found["seen"] for found in ranks)
    for one, other in zip(first, second, strict=True):
        assert sorted(one + other) == list(range(12))  # every image is seen once, whichever rank's draw it was
        assert {image // 6 for image in one} == {0, 1}
    assert first[0] != first[1]
