"""`raydr plan`: how many CPUs feed how many GPUs, the bytes and the hours, before a cluster is rented."""

import dataclasses
import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from raydr import storage
from raydr.build import build_preprocess, check_method
from raydr.capacity.fleet import Fleet, Prices
from raydr.capacity.plan import Rates, Workload, plan_capacity
from raydr.config.capacity import MachineSettings, PriceSettings
from raydr.config.jobs import PlanSettings
from raydr.data.decode_rates import DecodeRates, mean_bytes, measure_decoding, sample_of
from raydr.data.manifest import read_manifest, rows_where
from raydr.errors import InputError
from raydr.learning.step_rate import measure_step_rate
from raydr.workflows.console import say
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.plan_simulation import as_metrics, from_metrics, simulate_plan
from raydr.workflows.plan_summary import cluster_overlay, say_plan
from raydr.workflows.result import StageResult
from raydr.workflows.simulation_summary import say_simulation

_SIZES_SAMPLED: Final = 256


@dataclass(frozen=True, slots=True)
class _Photographs:
    """What a manifest says."""

    uris: list[str]
    num_train: int


def plan(settings: PlanSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of planning, which it also prints; its artifact `cluster` is an overlay for the jobs to come."""
    check_method(settings.pretrain.model, settings.pretrain.method, "pretrain.model.backbone")
    fleet, prices = _fleet(settings.machines), _prices(settings.prices)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def body(stage: Stage) -> Outcome:
        photographs = None if settings.images.manifest is None else _photographs(settings.images.manifest)
        decoding = _measured_decoding(settings, photographs)
        rates, measured = _rates(settings, decoding, device)
        workload = _workload(settings, photographs, decoding)
        try:
            found = plan_capacity(workload, rates, fleet, prices)
        except ValueError as error:  # rates were checked as settings, so it is the number of images
            raise InputError(f"images: {error}") from None
        overlay = stage.path("cluster.toml")
        storage.write_bytes(overlay, cluster_overlay(fleet).encode())
        metrics: dict[str, Any] = {
            "workload": dataclasses.asdict(workload),
            "rates": dataclasses.asdict(rates),
            "measured": measured,
            "plan": dataclasses.asdict(found),
        }
        if settings.simulation is not None:
            forecasts = simulate_plan(settings, settings.simulation, fleet, workload, rates, prices)
            metrics["simulation"] = as_metrics(forecasts)
        return Outcome(metrics, {"cluster": overlay}, {})

    inputs = {} if settings.images.manifest is None else {"manifest": settings.images.manifest}
    digests = {"machine": _digest(_machine(device))} if settings.calibrate else {}
    result = perform(settings, "plan", inputs=inputs, digests=digests, pipeline=pipeline, body=body)
    workload, rates = Workload(**result.metrics["workload"]), Rates(**result.metrics["rates"])
    say_plan(
        plan_capacity(workload, rates, fleet, prices),
        workload,
        rates,
        fleet,
        measured=result.metrics["measured"],
        object_store_bytes=_object_store_bytes(settings.machines),
    )
    if settings.simulation is not None:
        say_simulation(from_metrics(result.metrics["simulation"]), workload, settings.simulation)
    say("\n" + cluster_overlay(fleet))
    return result


def _photographs(manifest: str) -> _Photographs:
    table = read_manifest(manifest)
    num_train = len(rows_where(table, split="train"))
    if not num_train:
        raise InputError(f"{manifest}: split: no image is in the train split")
    return _Photographs(table["uri"].to_pylist(), num_train)


def _measured_decoding(settings: PlanSettings, photographs: _Photographs | None) -> DecodeRates | None:
    """Rates of decoding on this machine, None where they are all given."""
    rates = settings.rates
    wanted = (rates.original_per_s, rates.shard_per_s, rates.prepare_per_s, settings.images.shard_bytes)
    if None not in wanted or photographs is None:
        return None
    uris = sample_of(photographs.uris, count=settings.calibration.num_photographs, seed=settings.seed)
    say(f"  decoding {len(uris)} photographs on one core of {_machine(torch.device('cpu'))}")
    return measure_decoding(
        uris,
        preprocess=build_preprocess(settings.preprocess),
        shard_px=settings.prepare.side_px,
        jpeg_quality=settings.prepare.jpeg_quality,
        seconds=settings.calibration.seconds,
    )


def _rates(
    settings: PlanSettings, decoding: DecodeRates | None, device: torch.device
) -> tuple[Rates, Mapping[str, str]]:
    """The rates, given or measured, and on what those were measured that were."""
    given = settings.rates.model_dump()
    found: dict[str, float] = {name: value for name, value in given.items() if value is not None}
    measured = {}
    for name in ("original_per_s", "shard_per_s", "prepare_per_s"):
        if name not in found and decoding is not None:
            found[name] = getattr(decoding, name)
            measured[name] = f"{decoding.num_photographs} photographs"
    if "step_per_s" not in found:
        machines, stage = settings.machines, settings.pretrain
        num_images = stage.optim.batch_size // (machines.gpu_nodes * machines.gpus_per_node)
        say(f"  training {stage.model.backbone} on random images, {num_images} a step, on {_machine(device)}")
        found["step_per_s"] = measure_step_rate(
            stage,
            side_px=settings.preprocess.side_px,
            num_images=num_images,
            device=device,
            seconds=settings.calibration.seconds,
        )
        measured["step_per_s"] = _machine(device)
    return Rates(**found), measured


def _workload(settings: PlanSettings, photographs: _Photographs | None, decoding: DecodeRates | None) -> Workload:
    images = settings.images
    original_bytes, shard_bytes = images.original_bytes, images.shard_bytes
    if photographs is not None:
        num_images, num_train = len(photographs.uris), photographs.num_train
        sample = sample_of(photographs.uris, count=_SIZES_SAMPLED, seed=settings.seed)
        original_bytes = original_bytes or mean_bytes(sample)
    else:
        num_images = images.num_images or 0
        num_train = images.num_train or num_images
    if decoding is not None:
        shard_bytes = shard_bytes or decoding.shard_bytes
    if original_bytes is None or shard_bytes is None:
        raise AssertionError  # the settings were checked
    return Workload(
        num_images=num_images,
        num_train=num_train,
        epochs=settings.pretrain.optim.epochs,
        batch_size=settings.pretrain.optim.batch_size,
        side_px=settings.preprocess.side_px,
        original_bytes=original_bytes,
        shard_bytes=shard_bytes,
    )


def _fleet(machines: MachineSettings) -> Fleet:
    return Fleet(
        gpu_nodes=machines.gpu_nodes,
        gpus_per_node=machines.gpus_per_node,
        cpus_per_gpu_node=machines.cpus_per_gpu_node,
        cpus_per_trainer=machines.cpus_per_trainer,
        decode_nodes=machines.decode_nodes,
        cpus_per_decode_node=machines.cpus_per_decode_node,
        utilisation=machines.utilisation,
        read_bytes_per_s=None if machines.read_mb_per_s is None else machines.read_mb_per_s * 1e6,
        prepare_nodes=machines.prepare_nodes,
    )


def _prices(prices: PriceSettings | None) -> Prices | None:
    return None if prices is None else Prices(gpu_hour=prices.gpu_hour, cpu_hour=prices.cpu_hour)


def _object_store_bytes(machines: MachineSettings) -> float | None:
    return None if machines.object_store_gib is None else machines.object_store_gib * 2**30


def _machine(device: torch.device) -> str:
    """What rates were measured on, in words."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"this machine's CPU ({os.cpu_count()} {platform.machine()} cores)"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
