"""Whether a trial has a place on the cluster."""

from collections.abc import Sequence

from raydr.config.site import ClusterSettings
from raydr.config.stages import SearchStage
from raydr.data.nodes import Node, num_that_fit
from raydr.errors import InputError


def check_trial_room(stage: SearchStage, cluster: ClusterSettings, nodes: Sequence[Node]) -> None:
    """Raise InputError where no node of a cluster of fixed size can hold a trial: it would be waited for."""
    if cluster.autoscaling:
        return
    for key, kind, need, have in (
        ("cpus_per_trial", "CPU", stage.cpus_per_trial, sum(node.cpus for node in nodes)),
        ("gpus_per_trial", "GPU", stage.gpus_per_trial, sum(node.gpus for node in nodes)),
    ):
        if need > have:
            raise InputError(
                f"search: {key}: is {need:g}, the cluster has {have:g} {kind}s; lower it, or set "
                "cluster.autoscaling where the cluster grows on demand"
            )
    workers = stage.workers_per_trial
    cpus, gpus = stage.cpus_per_trial / workers, stage.gpus_per_trial / workers
    if num_that_fit(nodes, cpus=cpus, gpus=gpus) < workers:
        raise InputError(
            f"search: cpus_per_trial: each of a trial's {workers} workers needs {cpus:g} CPUs and {gpus:g} GPUs on one "
            "node, which too few nodes have; lower cpus_per_trial or gpus_per_trial, or set cluster.autoscaling where "
            "the cluster grows on demand"
        )
