"""Room for a cell on the cluster."""

import pytest

from raydr.config.site import ClusterSettings
from raydr.data.nodes import Node
from raydr.errors import InputError
from raydr.study import tasks
from raydr.study.tasks import Share, check_cell_room

NODES = [Node(4.0, 1.0, 0.0, {}), Node(4.0, 0.0, 0.0, {})]


def test_a_cell_that_no_node_can_hold_is_refused_by_the_key_unless_the_cluster_grows():
    check_cell_room(4.0, 1.0, ClusterSettings(), NODES)
    for cpus, gpus in ((5.0, 0.0), (1.0, 2.0)):
        with pytest.raises(InputError, match=r"study: cpus_per_cell: a cell needs .* on one node"):
            check_cell_room(cpus, gpus, ClusterSettings(), NODES)
        check_cell_room(cpus, gpus, ClusterSettings(autoscaling=True), NODES)


def test_as_many_cells_at_once_as_there_is_room_for_or_as_the_settings_say(monkeypatch):
    monkeypatch.setattr(tasks.ray, "cluster_resources", lambda: {"CPU": 8.0, "GPU": 1.0})

    def at_once(cpus, gpus, *, max_parallel=None, grows=False):
        return Share(cpus, gpus, max_parallel, grows, 0).num_at_once()

    assert (at_once(1.0, 0.0), at_once(0.1, 0.0), at_once(1.0, 0.5), at_once(9.0, 0.0)) == (8, 80, 2, 1)
    assert at_once(1.0, 0.0, max_parallel=3) == 3
    assert at_once(1.0, 1.0, grows=True) is None
