"""GPUs that are only counted: Ray hands them out, and whoever gets one is told of none and computes on the CPU."""

import ray
from ray.runtime_context import RuntimeContext


def hide_gpus():
    """Run by Ray in every process of a job before anything else."""
    ray.get_gpu_ids = list
    RuntimeContext.get_accelerator_ids = lambda _: {"GPU": []}
