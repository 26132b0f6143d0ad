"""The chunks of a table."""

import pytest

from raydr.data import blocks
from raydr.data.blocks import chunk_sizes


@pytest.mark.parametrize(("rows", "cpus", "chunks"), [(6, 2, 6), (600, 2, 10), (600, 64, 256), (100_000, 64, 1563)])
def test_few_images_spread_over_the_cpus_and_many_make_tasks_of_at_most_64(monkeypatch, rows, cpus, chunks):
    monkeypatch.setattr(blocks, "cluster_total", lambda resource: {"CPU": cpus}[resource])
    sizes = chunk_sizes(rows)
    assert sum(sizes) == rows
    assert len(sizes) == chunks
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 64


def test_no_chunk_is_empty_however_many_are_wanted():
    assert chunk_sizes(3, num_chunks=5) == [1, 1, 1]
    assert chunk_sizes(7, num_chunks=3) == [3, 2, 2]
