"""Where scoring runs on the cluster."""

from raydr.config.site import ClusterSettings
from raydr.inference.scoring import Placement


def placement_of(cluster: ClusterSettings) -> Placement:
    """Scoring actors like training workers, as many as there is room for."""
    return Placement(
        cpus_per_actor=cluster.cpus_per_worker,
        gpus_per_actor=cluster.gpus_per_worker,
        decode_cpus=cluster.decode_cpus,
    )
