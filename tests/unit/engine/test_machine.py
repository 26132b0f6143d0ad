"""What a worker says of its machine."""

import threading

import torch

from raydr.engine.machine import machine_figures


def test_cpus_at_work_and_memory_in_use_are_seen():
    machine_figures(torch.device("cpu"))
    done = threading.Event()

    def spin():
        while not done.is_set():
            torch.randn(200, 200) @ torch.randn(200, 200)

    worker = threading.Thread(target=spin)
    worker.start()
    done.wait(0.5)
    figures = machine_figures(torch.device("cpu"))
    done.set()
    worker.join()
    assert 0 < figures["system/cpu_utilization_percentage"] <= 100
    assert 0 < figures["system/system_memory_usage_percentage"] < 100
    assert figures["system/system_memory_usage_megabytes"] > 10
    assert not any("gpu" in name for name in figures)


def test_a_gpus_memory_is_seen_and_its_utilisation_only_where_it_can_be_asked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (3 * 2**30, 4 * 2**30))

    def missing(_device):
        raise ModuleNotFoundError("nvidia-ml-py is not there")

    monkeypatch.setattr(torch.cuda, "utilization", missing)
    figures = machine_figures(torch.device("cuda"))
    assert figures["system/gpu_0_memory_usage_megabytes"] == 1024
    assert figures["system/gpu_0_memory_usage_percentage"] == 25
    assert "system/gpu_0_utilization_percentage" not in figures
    monkeypatch.setattr(torch.cuda, "utilization", lambda _device: 87)
    assert machine_figures(torch.device("cuda"))["system/gpu_0_utilization_percentage"] == 87
