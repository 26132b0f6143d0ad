"""How scoring shares out a cluster."""

import pytest

from raydr.data.nodes import Node
from raydr.errors import InputError
from raydr.inference import placement
from raydr.inference.placement import Placement, fit_cpus, fitted


@pytest.mark.parametrize(
    ("wanted", "nodes", "expected"),
    [
        ((1.0, 1.0), [2.0], (1.0, 1.0)),
        ((1.0, 1.0), [1.0], (0.5, 0.5)),
        ((3.0, 1.0), [2.0], (1.0, 0.6666)),
        ((4.0, 1.0), [1.0, 1.0], (1.0, 1.0)),
        ((1.0, 1.0), [64.0, 64.0], (1.0, 1.0)),
        ((0.5, 8.0), [4.0, 4.0], (0.5, 4.0)),
    ],
)
def test_an_actor_and_a_decoding_task_always_fit_side_by_side(wanted, nodes, expected):
    actor, decode = fit_cpus(*wanted, nodes)
    assert (actor, decode) == pytest.approx(expected, abs=1e-4)
    assert actor + decode <= sum(nodes)
    assert max(actor, decode) <= max(nodes)


@pytest.fixture
def cluster_of(monkeypatch):
    def build(*nodes):
        alive = [Node(cpus, gpus, 1e9, {}) for cpus, gpus in nodes]
        monkeypatch.setattr(placement, "alive_nodes", lambda: alive)

    return build


def fit(wanted=None, *, num_images=10_000, are_photographs=True):
    place = fitted(wanted or Placement(), num_images=num_images, are_photographs=are_photographs)
    return place.actors, place.cpus_per_actor, place.gpus_per_actor, place.decode_cpus


def test_without_gpus_every_core_has_an_actor_that_decodes_for_itself(cluster_of):
    cluster_of((2.0, 0.0), (5.0, 0.0))
    assert fit() == (7, 1.0, 0.0, 0.0)
    assert fit(Placement(cpus_per_actor=4.0)) == (7, 1.0, 0.0, 0.0)
    assert fit(Placement(actors=3)) == (3, 1.0, 0.0, 0.0)
    cluster_of((0.5, 0.0))
    assert fit() == (1, 0.5, 0.0, 0.0)


def test_gpus_are_taken_where_there_are_any_and_other_nodes_decode(cluster_of):
    cluster_of((8.0, 2.0), (16.0, 0.0))
    assert fit() == (2, 1.0, 1.0, 1.0)
    assert fit(Placement(gpus_per_actor=0.5)) == (4, 1.0, 0.5, 1.0)


def test_pictures_out_of_shards_are_decoded_by_tasks_beside_the_actors(cluster_of):
    cluster_of((4.0, 0.0))
    assert fit(are_photographs=False) == (2, 1.0, 0.0, 1.0)


def test_a_cluster_that_grows_is_asked_for_as_many_actors_as_the_images_keep_busy(cluster_of):
    cluster_of((0.0, 0.0))  # the head, which does not work
    assert fit(Placement(grows=True)) == (157, 1.0, 0.0, 0.0)
    assert fit(Placement(grows=True, gpus_per_actor=1.0)) == (157, 1.0, 1.0, 1.0)
    assert fit(Placement(grows=True, gpus_per_actor=1.0, actors=4)) == (4, 1.0, 1.0, 1.0)
    assert fit(Placement(grows=True, cpus_per_actor=2.0), are_photographs=False) == (157, 2.0, 0.0, 1.0)


def test_a_gpu_that_no_node_has_is_not_waited_for(cluster_of):
    cluster_of((8.0, 0.0))
    with pytest.raises(InputError, match=r"cluster\.gpus_per_worker: is 1, no node .* more than 0 GPUs"):
        fit(Placement(gpus_per_actor=1.0))
    cluster_of((8.0, 1.0), (8.0, 1.0))
    with pytest.raises(InputError, match="is 2, no node"):
        fit(Placement(gpus_per_actor=2.0))


def test_few_images_start_few_actors_and_an_empty_cluster_one(cluster_of):
    cluster_of((32.0, 0.0))
    assert fit(num_images=65)[0] == 2
    assert fit(num_images=1)[0] == 1
    cluster_of()
    assert fit() == (1, 1.0, 0.0, 0.0)
