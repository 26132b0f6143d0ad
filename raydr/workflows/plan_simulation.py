"""The simulated courses of a plan's pretraining: each fleet, without losses and with them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from raydr.capacity.course import RESIZE_EVERY_S, EndlessTrainingError, Losses, Recovery
from raydr.capacity.fleet import Fleet, Prices
from raydr.capacity.plan import CACHED_SHARE, PICTURES_PER_TASK, Rates, Workload
from raydr.capacity.saved_work import Saving
from raydr.capacity.saving_interval import daly_interval_s
from raydr.capacity.simulation import Forecast, Spread, forecast
from raydr.capacity.throughput import Exchange, ImageSource, Machinery, RayLimits
from raydr.config.capacity import MachineSettings
from raydr.config.jobs import PlanSettings
from raydr.config.simulation import SimulationSettings
from raydr.learning.step_exchange import count_step_exchange

SHARDS_PICTURES_PER_TASK: Final = 256
"""Prepared pictures that a decoding task makes at once: whole row groups from all over the shards."""
NOTHING_LOST, ANNOUNCED, UNANNOUNCED, ELASTIC = "none", "with notice", "without notice", "with notice, elastic"


@dataclass(frozen=True, slots=True)
class FleetForecast:
    """What is to be expected of one fleet."""

    name: str
    fleet: Fleet
    images_from: str
    epoch_s: float
    """While nothing is lost, saving not counted."""
    interval_s: float | None
    """Between states: what costs least where losses are not announced (Daly); None: nothing is lost."""
    courses: Mapping[str, Forecast | str]
    """By how nodes are lost; why it never ends where it does not."""


def simulate_plan(
    settings: PlanSettings,
    simulation: SimulationSettings,
    fleet: Fleet,
    workload: Workload,
    rates: Rates,
    prices: Prices | None,
) -> list[FleetForecast]:
    """The forecasts for all fleets of ``simulation``."""
    exchange = _exchange(settings, simulation)
    return [
        _fleet_forecast(
            settings,
            simulation,
            name,
            _fleet(fleet, settings.machines, simulation, name),
            _machinery(settings.machines, simulation, workload, rates, exchange),
            prices,
        )
        for name in simulation.fleets
    ]


def _fleet_forecast(
    settings: PlanSettings,
    simulation: SimulationSettings,
    name: str,
    fleet: Fleet,
    streamed: Machinery,
    prices: Prices | None,
) -> FleetForecast:
    machinery, first_pass_s, images_from = streamed, 0.0, str(simulation.images_from)
    workload, store_bytes = streamed.workload, streamed.limits.store_bytes
    if store_bytes < inf and workload.num_train * workload.picture_bytes <= CACHED_SHARE * store_bytes:
        supply = min(streamed.supplies(fleet).values())
        first_pass_s = workload.num_train / supply if supply else inf
        machinery = dataclasses.replace(streamed, source=dataclasses.replace(streamed.source, per_core=inf))
        images_from = "memory"
    minutes = simulation.save_every_minutes
    saving = Saving(inf if minutes is None else 60 * minutes, simulation.save_s, simulation.epoch_pause_s)
    waits = Recovery(
        saving=saving,
        restart_s=simulation.restart_s,
        fewest_nodes=None,
        resize_every_s=max(RESIZE_EVERY_S, 60 * (minutes or 0.0)),
    )
    fewest = max(1, round(simulation.fewest_share * fleet.gpu_nodes))
    elastic = dataclasses.replace(waits, fewest_nodes=fewest)
    lost = Losses(simulation.lost_per_hour, simulation.notice_s, 60 * simulation.arrival_minutes)
    cases = {
        NOTHING_LOST: (dataclasses.replace(lost, per_hour=0.0), waits),
        ANNOUNCED: (lost, waits),
        UNANNOUNCED: (dataclasses.replace(lost, notice_s=None), waits),
    }
    if fewest < fleet.gpu_nodes:
        cases[ELASTIC] = (lost, elastic)
    courses: dict[str, Forecast | str] = {}
    for case, (losses, recovery) in cases.items():
        try:
            courses[case] = forecast(
                machinery,
                fleet,
                losses,
                recovery,
                first_pass_s=first_pass_s,
                prices=prices,
                repetitions=simulation.repetitions,
                seed=settings.seed,
            )
        except EndlessTrainingError as error:
            courses[case] = str(error)
    per_hour = simulation.lost_per_hour * fleet.gpu_nodes
    return FleetForecast(
        name=name,
        fleet=fleet,
        images_from=images_from,
        epoch_s=workload.num_train * machinery.pace(fleet).image_s,
        interval_s=daly_interval_s(save_s=simulation.save_s, between_losses_s=3600 / per_hour) if per_hour else None,
        courses=courses,
    )


def _exchange(settings: PlanSettings, simulation: SimulationSettings) -> Exchange:
    counted = count_step_exchange(settings.pretrain)
    gbit = simulation.network_gbit_per_s
    return Exchange(
        gradient_bytes=counted.gradient_bytes if simulation.gradient_mb is None else 1e6 * simulation.gradient_mb,
        num_small=counted.num_small,
        node_bytes_per_s=inf if gbit is None else gbit * 1e9 / 8,
        latency_s=1e-6 * simulation.latency_us,
    )


def _machinery(
    machines: MachineSettings, simulation: SimulationSettings, workload: Workload, rates: Rates, exchange: Exchange
) -> Machinery:
    if simulation.images_from == "originals":
        source = ImageSource(rates.original_per_s, workload.original_bytes, PICTURES_PER_TASK)
    else:  # row groups are read whole, with the pictures of other splits
        read_bytes = workload.shard_bytes * workload.num_images / workload.num_train
        source = ImageSource(rates.shard_per_s, read_bytes, SHARDS_PICTURES_PER_TASK)
    return Machinery(
        workload=workload,
        source=source,
        step_per_s=rates.step_per_s,
        step_spread=simulation.step_spread,
        exchange=exchange,
        limits=RayLimits(
            tasks_per_s=simulation.tasks_per_s,
            coordinator_task_s=simulation.coordinator_task_ms / 1000,
            coordinator_block_s=simulation.coordinator_block_ms / 1000,
            coordinator_held_s=simulation.coordinator_held_ms / 1000,
            store_bytes=inf if machines.object_store_gib is None else machines.object_store_gib * 2**30,
        ),
    )


def _fleet(fleet: Fleet, machines: MachineSettings, simulation: SimulationSettings, name: str) -> Fleet:
    chosen = simulation.fleets[name]
    gpus, cpus = chosen.of_node(machines)
    return dataclasses.replace(
        fleet,
        gpu_nodes=chosen.gpu_nodes,
        gpus_per_node=gpus,
        cpus_per_gpu_node=cpus,
        decode_nodes=chosen.decode_nodes,
    )


def as_metrics(found: list[FleetForecast]) -> list[dict[str, Any]]:
    """As `result.json` keeps them."""
    return [dataclasses.asdict(one) for one in found]


def from_metrics(kept: list[dict[str, Any]]) -> list[FleetForecast]:
    """As they were."""
    return [
        FleetForecast(
            **{
                **one,
                "fleet": Fleet(**one["fleet"]),
                "courses": {case: _forecast(course) for case, course in one["courses"].items()},
            }
        )
        for one in kept
    ]


def _forecast(kept: dict[str, Any] | str) -> Forecast | str:
    if isinstance(kept, str):
        return kept
    spreads = {name: None if kept[name] is None else Spread(**kept[name]) for name in ("total_s", "gpu_hours", "cost")}
    return Forecast(**{**kept, **spreads})
