"""How busy a worker's machine is."""

import contextlib
from typing import Final

import psutil
import torch

_MIB: Final = 2**20


def machine_figures(device: torch.device) -> dict[str, float]:
    """Use of CPUs, memory and, where the worker has one, of its GPU, under the names of MLflow's system metrics.

    Of the machine as a whole, whoever uses it. CPU use is since the last call (0 at the first). A GPU's utilisation is
    left out where its driver's library (nvidia-ml-py) is not installed.
    """
    memory = psutil.virtual_memory()
    figures = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / _MIB,
        "system/system_memory_usage_percentage": memory.percent,
    }
    if device.type != "cuda":
        return figures
    free, total = torch.cuda.mem_get_info(device)
    figures["system/gpu_0_memory_usage_megabytes"] = (total - free) / _MIB
    figures["system/gpu_0_memory_usage_percentage"] = 100 * (total - free) / total
    # Parts of a GPU know no utilisation, and the library has errors of its own: onlookers do without it.
    with contextlib.suppress(Exception):
        figures["system/gpu_0_utilization_percentage"] = float(torch.cuda.utilization(device))
    return figures
