"""Settings that no training could run with on a cluster are told by key, in all and node by node."""

from raydr.config.site import ClusterSettings
from raydr.data.nodes import Node, num_that_fit
from raydr.errors import InputError
from raydr.training.room import check_room


def node(cpus, gpus=0.0, **labels):
    return Node(cpus, gpus, 1e9, labels)


def refusal(nodes, **settings):
    try:
        check_room(ClusterSettings.model_validate(settings), nodes)
    except InputError as error:
        return str(error)
    return None


def test_trainers_that_fit_in_all_but_on_no_node_are_refused():
    halves = [node(2.0), node(2.0), node(2.0)]
    assert refusal(halves, num_workers=1, cpus_per_worker=3.0) == (
        "cluster.num_workers: each of 1 workers needs 3 CPUs on one node, and the cluster's nodes hold 0; lower "
        "num_workers or cpus_per_worker, or set cluster.autoscaling"
    )
    assert refusal(halves, num_workers=2, cpus_per_worker=2.0) is None
    assert refusal([*halves, node(3.0)], num_workers=1, cpus_per_worker=3.0) is None


def test_gpus_and_cpus_must_be_on_the_same_node():
    apart = [node(8.0), node(1.0, gpus=2.0)]
    told = refusal(apart, num_workers=2, cpus_per_worker=1.0, gpus_per_worker=1.0)
    assert told is not None
    assert told.startswith("cluster.num_workers: each of 2 workers needs 1 CPUs and 1 GPUs on one node, and the")
    assert "nodes hold 1;" in told
    assert refusal(apart, num_workers=2, cpus_per_worker=0.5, gpus_per_worker=1.0) is None


def test_a_decoding_task_needs_its_cpus_on_one_node_too():
    scattered = [node(1.5), node(1.5)]
    assert refusal(scattered, num_workers=2, cpus_per_worker=1.0, decode_cpus=1.0) == (
        "cluster.decode_cpus: beside 2 workers of 1 CPUs no node has 1 CPUs left for a decoding task; lower "
        "decode_cpus, num_workers or cpus_per_worker, or set cluster.autoscaling"
    )
    assert refusal(scattered, num_workers=2, cpus_per_worker=1.0, decode_cpus=0.5) is None
    assert refusal([node(1.0), node(2.0)], num_workers=2, cpus_per_worker=1.0, decode_cpus=1.0) is None


def test_nodes_that_only_decode_hold_no_trainer():
    nodes = [node(8.0, tier="cpu"), node(2.0, gpus=1.0)]
    settings = {"gpus_per_worker": 1.0, "decode_label": "tier=cpu"}
    assert refusal(nodes, cpus_per_worker=2.0, decode_cpus=8.0, **settings) is None
    assert refusal([nodes[0], node(1.0, gpus=1.0), node(1.0)], cpus_per_worker=2.0, **settings) is not None
    labelled_with_gpus = [node(8.0, gpus=2.0, tier="cpu"), node(4.0, gpus=1.0)]
    told = refusal(labelled_with_gpus, num_workers=2, cpus_per_worker=1.0, **settings)
    assert told is not None
    assert "the cluster's nodes hold 1;" in told


def test_a_cluster_that_grows_is_not_judged_by_its_present_size():
    assert refusal([], num_workers=8, autoscaling=True) is None


def test_shares_of_a_cpu_fill_a_node():
    assert num_that_fit([node(0.3)], cpus=0.1, gpus=0.0) == 3
    assert num_that_fit([node(96.0, gpus=8.0), node(4.0)], cpus=2.0, gpus=0.5) == 16
    assert num_that_fit([node(96.0, gpus=8.0), node(4.0)], cpus=0.0, gpus=1.0) == 8
