"""Whether a training has a place on the cluster: one that has none would be waited for without a word."""

from collections.abc import Sequence
from dataclasses import replace

from raydr.config.site import ClusterSettings
from raydr.data.nodes import Node, num_that_fit
from raydr.errors import InputError


def check_room(cluster: ClusterSettings, nodes: Sequence[Node]) -> None:
    """Raise InputError where nodes of a cluster of fixed size cannot hold the trainers and a decoding task beside them.

    In all, and one by one: a trainer and a task each run on one node.
    """
    if cluster.autoscaling:
        return
    gpus = sum(node.gpus for node in nodes)
    if cluster.decode_label is None:
        _check_shared(cluster, sum(node.cpus for node in nodes))
    else:
        _check_apart(cluster, nodes, cluster.decode_label)
    if cluster.num_workers * cluster.gpus_per_worker > gpus:
        raise InputError(
            f"cluster.gpus_per_worker: {cluster.num_workers} workers of {cluster.gpus_per_worker:g} GPUs do not fit "
            f"the cluster's {gpus:g}; lower num_workers or gpus_per_worker, or set cluster.autoscaling"
        )
    _check_each_node(cluster, nodes)


def _check_shared(cluster: ClusterSettings, cpus: float) -> None:
    trainers = cluster.num_workers * cluster.cpus_per_worker
    if trainers + cluster.decode_cpus > cpus:
        raise InputError(
            f"cluster.num_workers: {cluster.num_workers} workers of {cluster.cpus_per_worker:g} CPUs leave "
            f"{cpus - trainers:g} of the cluster's {cpus:g} for decoding, which needs cluster.decode_cpus = "
            f"{cluster.decode_cpus:g}; lower num_workers, cpus_per_worker or decode_cpus, or set cluster.autoscaling"
        )


def _check_apart(cluster: ClusterSettings, nodes: Sequence[Node], label: str) -> None:
    decoding = [node.cpus for node in nodes if node.has_label(label)]
    if max(decoding, default=0.0) < cluster.decode_cpus:
        raise InputError(
            f"cluster.decode_label: no node of the cluster has the label {label} and {cluster.decode_cpus:g} CPUs; "
            "label one, lower decode_cpus, or set cluster.autoscaling"
        )
    others = sum(node.cpus for node in nodes) - sum(decoding)
    if cluster.num_workers * cluster.cpus_per_worker > others:
        raise InputError(
            f"cluster.num_workers: {cluster.num_workers} workers of {cluster.cpus_per_worker:g} CPUs do not fit the "
            f"{others:g} of the nodes without the label {label}, which only decode; lower num_workers or "
            "cpus_per_worker, or set cluster.autoscaling"
        )


def _check_each_node(cluster: ClusterSettings, nodes: Sequence[Node]) -> None:
    trainable = [node for node in nodes if cluster.decode_label is None or not node.has_label(cluster.decode_label)]
    fitting = _num_trainers(cluster, trainable)
    if fitting < cluster.num_workers:
        gpus = f" and {cluster.gpus_per_worker:g} GPUs" if cluster.gpus_per_worker else ""
        raise InputError(
            f"cluster.num_workers: each of {cluster.num_workers} workers needs {cluster.cpus_per_worker:g} CPUs{gpus} "
            f"on one node, and the cluster's nodes hold {fitting}; lower num_workers or cpus_per_worker, or set "
            "cluster.autoscaling"
        )
    if cluster.decode_label is None and not any(
        fitting - _num_trainers(cluster, [node]) + _num_trainers(cluster, [_with_a_task(node, cluster.decode_cpus)])
        >= cluster.num_workers
        for node in nodes
        if node.cpus >= cluster.decode_cpus
    ):
        raise InputError(
            f"cluster.decode_cpus: beside {cluster.num_workers} workers of {cluster.cpus_per_worker:g} CPUs no node "
            f"has {cluster.decode_cpus:g} CPUs left for a decoding task; lower decode_cpus, num_workers or "
            "cpus_per_worker, or set cluster.autoscaling"
        )


def _num_trainers(cluster: ClusterSettings, nodes: Sequence[Node]) -> int:
    return num_that_fit(nodes, cpus=cluster.cpus_per_worker, gpus=cluster.gpus_per_worker)


def _with_a_task(node: Node, cpus: float) -> Node:
    """What is left of the node beside a task of so many CPUs."""
    return replace(node, cpus=node.cpus - cpus)
