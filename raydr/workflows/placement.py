"""Where scoring runs on the cluster."""

from raydr.config.site import ClusterSettings
from raydr.inference.placement import Placement


def placement_of(cluster: ClusterSettings) -> Placement:
    """Scoring actors like training workers, as many as there is room for; on the cluster's GPUs if it has any."""
    return Placement(
        cpus_per_actor=cluster.cpus_per_worker,
        gpus_per_actor=cluster.gpus_per_worker or None,
        decode_cpus=cluster.decode_cpus,
        grows=cluster.autoscaling,
    )
