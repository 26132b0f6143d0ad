"""The simulation of a training whose nodes are lost, beside closed forms and what must hold for any course."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from raydr.capacity.course import (
    NOTICED_S,
    PATIENCE_S,
    RESIZE_EVERY_S,
    Course,
    EndlessTrainingError,
    Losses,
    Recovery,
    run_course,
)
from raydr.capacity.fleet import Fleet, Prices
from raydr.capacity.plan import Workload
from raydr.capacity.saved_work import SavedWork, Saving
from raydr.capacity.saving_interval import daly_interval_s, daly_total_s, young_interval_s
from raydr.capacity.simulation import Forecast, forecast
from raydr.capacity.throughput import (
    STREAMED_SHARE,
    Exchange,
    ImageSource,
    Machinery,
    RayLimits,
    expected_largest,
)

HOUR = 3600.0
# 4 nodes of 2 GPUs, 8 cores of each decode, and 2 nodes of 10 cores that only decode.
FLEET = Fleet(
    gpu_nodes=4,
    gpus_per_node=2,
    cpus_per_gpu_node=12,
    cpus_per_trainer=2,
    decode_nodes=2,
    cpus_per_decode_node=10,
    utilisation=0.5,
)
ALONE = Exchange(gradient_bytes=0.0, num_small=0, node_bytes_per_s=math.inf, latency_s=0.0)
MACHINERY = Machinery(
    workload=Workload(
        num_images=40_000,
        num_train=40_000,
        epochs=50,
        batch_size=400,
        side_px=100,
        original_bytes=1e6,
        shard_bytes=5e4,
    ),
    source=ImageSource(per_core=100.0, image_bytes=5e4, images_per_task=64),
    step_per_s=100.0,
    step_spread=0.0,
    exchange=ALONE,
    limits=RayLimits(
        tasks_per_s=1e6,
        coordinator_task_s=1e-6,
        coordinator_block_s=1e-6,
        coordinator_held_s=1e-6,
        store_bytes=math.inf,
    ),
)
NEVER = Losses(per_hour=0.0, notice_s=None, arrival_s=0.0)
RECOVERY = Recovery(
    saving=Saving(every_s=600.0, save_s=20.0, epoch_pause_s=0.0),
    restart_s=60.0,
    fewest_nodes=None,
    resize_every_s=600.0,
)


def changed(thing: Any, **changes: Any) -> Any:
    """A dataclass with some fields exchanged; `a__b` is field b of field a."""
    for name, value in changes.items():
        first, _, rest = name.partition("__")
        new = changed(getattr(thing, first), **{rest: value}) if rest else value
        thing = dataclasses.replace(thing, **{first: new})
    return thing


def simulated(
    *, machinery: Machinery = MACHINERY, fleet: Fleet = FLEET, losses: Losses = NEVER, recovery: Recovery = RECOVERY,
    repetitions: int = 200, prices: Prices | None = None, first_pass_s: float = 0.0, seed: int = 0,
) -> Forecast:  # fmt: skip
    return forecast(
        machinery,
        fleet,
        losses,
        recovery,
        prices=prices,
        first_pass_s=first_pass_s,
        repetitions=repetitions,
        seed=seed,
    )


def course(
    losses: Losses,
    *,
    recovery: Recovery = RECOVERY,
    fleet: Fleet = FLEET,
    machinery: Machinery = MACHINERY,
    seed: int = 0,
) -> Course:
    return run_course(machinery, fleet, losses, recovery, first_pass_s=0.0, random=np.random.default_rng(seed))


# ── the pace, by hand ──


@pytest.mark.parametrize(
    ("changes", "held_up_by", "images_per_s"),
    [
        ({}, "GPUs", 8 * 100),
        ({"source__per_core": 20.0}, "decoding", (4 * 8 + 2 * 10) * 20 * 0.5),
        ({"limits__tasks_per_s": 5.0}, "tasks", 5 * 64),
        # A task of 128 makes two blocks.
        (
            {"limits__coordinator_task_s": 0.3, "limits__coordinator_block_s": 0.1, "source__images_per_task": 128},
            "coordinator",
            128 / (0.3 + 2 * 0.1),
        ),
        # 6 nodes' stores, half of each, two tasks' pictures of 30 kB for every one that runs.
        ({"limits__store_bytes": 6.4e6}, "object store", 0.5 * 6.4e6 * 6 / (2 * 64 * 30e3) * 100 * 0.5),
        ({"exchange__node_bytes_per_s": 3e6}, "network", 4 * 3e6 / 30e3),
    ],
)
def test_without_losses_the_slowest_part_sets_the_pace(
    changes: dict[str, float], held_up_by: str, images_per_s: float
) -> None:
    found = simulated(machinery=changed(MACHINERY, **changes))
    assert found.held_up_by == held_up_by
    assert found.images_per_s == pytest.approx(images_per_s)
    epoch_s = 40_000 / images_per_s
    saves = 50 * math.ceil(epoch_s / 600)
    assert found.total_s.mean == pytest.approx(60 + 50 * epoch_s + saves * 20)
    assert found.total_s.low == found.total_s.high


def test_reading_holds_up_where_the_storage_is_slow() -> None:
    found = simulated(fleet=changed(FLEET, read_bytes_per_s=2e6))
    assert (found.held_up_by, found.images_per_s) == ("reading", pytest.approx(6 * 2e6 / 5e4))


def test_held_in_memory_no_core_no_task_and_no_store_holds_up() -> None:
    held = changed(MACHINERY, source__per_core=math.inf, limits__tasks_per_s=0.1, limits__store_bytes=1.0)
    assert simulated(machinery=held, fleet=changed(FLEET, read_bytes_per_s=1.0)).held_up_by == "GPUs"
    assert (
        simulated(machinery=changed(held, limits__coordinator_task_s=10.0, limits__coordinator_block_s=10.0)).held_up_by
        == "GPUs"
    )
    slow = simulated(machinery=changed(held, limits__coordinator_held_s=0.2))
    assert (slow.held_up_by, slow.images_per_s) == ("coordinator", pytest.approx(64 / 0.2))


def test_gradients_go_around_a_ring_and_small_exchanges_up_and_down_a_tree() -> None:
    exchange = Exchange(gradient_bytes=100e6, num_small=10, node_bytes_per_s=1e9, latency_s=1e-3)
    assert exchange.seconds(1) == 0
    # 6 messages of 25 MB and 1 ms; ten times 2 up and 2 down.
    assert exchange.seconds(4) == pytest.approx(6 * (0.025 + 0.001) + 10 * 4 * 0.001)
    pace = changed(MACHINERY, exchange=exchange).pace(FLEET)
    assert pace.image_s * 400 == pytest.approx(50 / 100 + exchange.seconds(4))


def test_a_step_waits_for_its_slowest_gpu() -> None:
    assert expected_largest(1) == 0
    assert expected_largest(2) == pytest.approx(1 / math.sqrt(math.pi), abs=1e-4)
    assert expected_largest(10) == pytest.approx(1.53875, abs=1e-4)  # tabulated by Harter, DOI 10.2307/2333139
    drawn = np.random.default_rng(0).normal(1, 0.1, (40_000, 8)).max(axis=1).mean()
    pace = changed(MACHINERY, step_spread=0.1).pace(FLEET)
    assert (pace.computing_s + pace.straggling_s) / pace.computing_s == pytest.approx(drawn, abs=2e-3)


@pytest.mark.parametrize(
    "key",
    ["step_per_s", "source__per_core", "limits__tasks_per_s", "exchange__node_bytes_per_s"],
)
def test_a_faster_part_never_makes_a_training_slower(key: str) -> None:
    slow = {"step_per_s": 50.0, "source__per_core": 5.0, "limits__tasks_per_s": 3.0}
    machinery = changed(MACHINERY, exchange=Exchange(1e8, 10, 5e6, 1e-3), **slow)
    spot = Losses(per_hour=0.2, notice_s=None, arrival_s=300.0)
    totals = []
    for factor in (1, 2, 4, 1000):
        first, _, rest = key.partition("__")
        now = getattr(getattr(machinery, first), rest) if rest else getattr(machinery, first)
        totals.append(simulated(machinery=changed(machinery, **{key: now * factor}), losses=spot, repetitions=60))
    means = [total.total_s.mean for total in totals]
    assert means == sorted(means, reverse=True)


# ── losses, by Daly's formulas ──

ONE = Fleet(
    gpu_nodes=1,
    gpus_per_node=1,
    cpus_per_gpu_node=10,
    cpus_per_trainer=0,
    decode_nodes=0,
    cpus_per_decode_node=1,
    utilisation=0.5,
)
LONG = changed(MACHINERY, workload__num_train=7_200_000, workload__epochs=1)  # 20 hours of one GPU


@pytest.mark.parametrize(("every_s", "save_s", "between_h"), [(600, 60, 2), (1800, 20, 5), (300, 60, 0.5)])
def test_lost_time_is_dalys(every_s: float, save_s: float, between_h: float) -> None:
    recovery = changed(RECOVERY, saving=Saving(every_s, save_s, 0.0), restart_s=120.0)
    losses = Losses(per_hour=1 / between_h, notice_s=None, arrival_s=0.0)
    found = simulated(machinery=LONG, fleet=ONE, losses=losses, recovery=recovery, repetitions=600)
    expected = daly_total_s(
        work_s=20 * HOUR, interval_s=every_s, save_s=save_s, between_losses_s=between_h * HOUR, restart_s=120.0
    )
    assert found.total_s.mean == pytest.approx(expected + 120, rel=0.015)  # and the first start


def test_as_many_nodes_are_lost_so_many_times_as_often() -> None:
    # Daly's for four times the rate: restarting takes no time, so that all nodes are always there.
    machinery = changed(MACHINERY, workload__num_train=57_600_000, workload__epochs=1)
    recovery = changed(RECOVERY, restart_s=0.0)
    fleet = changed(FLEET, decode_nodes=0)
    found = simulated(
        machinery=machinery, fleet=fleet, losses=Losses(0.25, None, 0.0), recovery=recovery, repetitions=400
    )
    expected = daly_total_s(work_s=20 * HOUR, interval_s=600, save_s=20, between_losses_s=HOUR, restart_s=0)
    assert found.total_s.mean == pytest.approx(expected, rel=0.015)
    assert found.losses == pytest.approx(found.total_s.mean / HOUR, rel=0.03)


@pytest.mark.parametrize(("save_s", "between_s"), [(0.3, 72_000.0), (0.3, 4_500.0), (60.0, 7200.0), (300.0, 3600.0)])
def test_the_interval_by_daly_costs_least(save_s: float, between_s: float) -> None:
    def total(interval_s: float) -> float:
        return daly_total_s(work_s=1.0, interval_s=interval_s, save_s=save_s, between_losses_s=between_s, restart_s=0.0)

    best = daly_interval_s(save_s=save_s, between_losses_s=between_s)
    grid = best * np.linspace(0.5, 2, 3001)
    assert best == pytest.approx(min(grid, key=total), rel=0.015)
    assert best == pytest.approx(young_interval_s(save_s=save_s, between_losses_s=between_s), rel=0.25)
    assert daly_interval_s(save_s=save_s, between_losses_s=math.inf) == math.inf
    assert daly_interval_s(save_s=3 * between_s, between_losses_s=between_s) == between_s


def test_the_simulation_too_finds_the_interval_by_daly_the_cheapest() -> None:
    losses = Losses(per_hour=0.5, notice_s=None, arrival_s=0.0)
    best = daly_interval_s(save_s=20.0, between_losses_s=2 * HOUR)

    def mean(every_s: float) -> float:
        recovery = changed(RECOVERY, saving__every_s=every_s)
        return simulated(machinery=LONG, fleet=ONE, losses=losses, recovery=recovery, repetitions=300).total_s.mean

    assert mean(best) < min(mean(best / 4), mean(best * 4))


# ── losses, one by one ──

SPOT = Losses(per_hour=0.3, notice_s=None, arrival_s=400.0)
ELASTIC = changed(RECOVERY, fewest_nodes=2)
CASES = [
    (SPOT, RECOVERY),
    (changed(SPOT, notice_s=100.0), RECOVERY),
    (SPOT, ELASTIC),
    (changed(SPOT, notice_s=100.0), ELASTIC),
    (changed(SPOT, per_hour=2.0, notice_s=30.0), changed(ELASTIC, saving__every_s=50.0)),
]


@pytest.mark.parametrize(("losses", "recovery"), CASES)
@pytest.mark.parametrize("seed", range(5))
def test_every_second_and_every_image_is_accounted_for(losses: Losses, recovery: Recovery, seed: int) -> None:
    machinery = changed(MACHINERY, step_spread=0.05, exchange=Exchange(1e8, 10, 1e9, 1e-4), source__per_core=35.0)
    found = course(losses, recovery=recovery, machinery=machinery, seed=seed)
    assert found.losses
    assert sum(found.uses.values()) == pytest.approx(found.total_s)
    assert all(seconds >= -1e-6 for seconds in found.uses.values())
    # All epochs' images, at the pace of computing alone: what was lost is in neither.
    assert found.uses["training"] == pytest.approx(40_000 * 50 / 800)
    lost = found.computed - 40_000 * 50
    assert lost >= -1e-3
    assert (lost > 1) == (found.uses["done again"] > 0.01)
    assert found.gpu_node_s <= 4 * found.total_s


def test_images_that_are_lost_take_their_time_again() -> None:
    for seed in range(10):
        found = course(changed(SPOT, per_hour=2.0), fleet=ONE, machinery=LONG, seed=seed)
        assert found.computed == pytest.approx(7_200_000 + found.uses["done again"] * 100)


def test_an_announced_loss_costs_the_restart_and_what_is_done_after_saving() -> None:
    long = changed(MACHINERY, workload__num_train=20_000_000, workload__epochs=1)
    exact, later, none = (
        simulated(machinery=long, losses=changed(SPOT, notice_s=notice_s, arrival_s=0.0), repetitions=60)
        for notice_s in (NOTICED_S + 20.001, 100.0, None)
    )
    assert exact.shares["restarts"] > 0
    assert exact.shares["done again"] < 0.01 * none.shares["done again"]  # of a state that was under way
    seconds = later.shares["done again"] * later.total_s.mean / later.losses
    assert seconds == pytest.approx(100 - NOTICED_S - 20, rel=0.15)
    assert later.most_failures == 0 < none.most_failures
    assert none.shares["done again"] > 2 * later.shares["done again"]


def test_more_losses_take_longer_and_cost_more() -> None:
    prices = Prices(gpu_hour=2.0, cpu_hour=0.1)
    found = [
        simulated(losses=changed(SPOT, per_hour=rate), prices=prices, repetitions=300) for rate in (0.0, 0.05, 0.3, 1.0)
    ]
    for figure in (lambda one: one.total_s.mean, lambda one: one.cost.mean, lambda one: one.losses):
        values = [figure(one) for one in found]
        assert values == sorted(values)
        assert len(set(values)) == len(values)


def test_the_cost_is_that_of_the_nodes_that_are_there() -> None:
    found = simulated(prices=Prices(gpu_hour=2.0, cpu_hour=0.1), losses=changed(NEVER, arrival_s=5 * HOUR))
    # Nothing is paid for before the nodes have come.
    hours = found.total_s.mean / HOUR - 5
    assert found.gpu_hours.mean == pytest.approx(8 * hours)
    assert found.cost is not None
    assert found.cost.mean == pytest.approx(8 * hours * 2.0 + 20 * hours * 0.1)
    assert simulated().cost is None


def test_going_on_with_the_rest_pays_where_nodes_come_late() -> None:
    waiting, elastic = (
        simulated(losses=changed(SPOT, per_hour=0.1, arrival_s=2 * HOUR), recovery=recovery, repetitions=200)
        for recovery in (RECOVERY, ELASTIC)
    )
    assert elastic.total_s.mean < 0.8 * waiting.total_s.mean
    assert waiting.shares["no node"] > 5 * elastic.shares["no node"]
    assert elastic.shares["fewer nodes"] > 0 == waiting.shares["fewer nodes"]


def test_an_elastic_training_grows_when_it_looks() -> None:
    losses = changed(SPOT, per_hour=0.1, arrival_s=300.0)
    soon, late = (
        simulated(losses=losses, recovery=changed(ELASTIC, resize_every_s=seconds), repetitions=100)
        for seconds in (60.0, 1e9)
    )
    assert 0 < soon.shares["fewer nodes"] < 0.5 * late.shares["fewer nodes"]


def test_a_node_that_does_not_train_can_be_lost_without_harm() -> None:
    # It never grows: one of two nodes trains, the other is there, and each is lost as often.
    recovery = changed(RECOVERY, fewest_nodes=1, resize_every_s=1e9)
    fleet = changed(FLEET, gpu_nodes=2, decode_nodes=0)
    machinery = changed(MACHINERY, workload__epochs=2000)
    found = simulated(
        machinery=machinery, fleet=fleet, losses=changed(SPOT, arrival_s=0.0), recovery=recovery, repetitions=40
    )
    failures = [
        course(changed(SPOT, arrival_s=0.0), recovery=recovery, fleet=fleet, machinery=machinery, seed=seed).failures
        for seed in range(20)
    ]
    assert found.losses / np.mean(failures) == pytest.approx(2, rel=0.1)


def test_without_enough_nodes_left_it_waits() -> None:
    all_needed = changed(ELASTIC, fewest_nodes=4)
    found = simulated(losses=changed(SPOT, arrival_s=HOUR), recovery=all_needed, repetitions=100)
    assert found.shares["no node"] > 0 == found.shares["fewer nodes"]


def test_a_lost_decode_node_slows_but_does_not_stop() -> None:
    # All decoding is on the two nodes: with none of them no image comes for a while, and it goes on.
    fleet = changed(FLEET, cpus_per_gpu_node=4)
    machinery = changed(MACHINERY, source__per_core=200.0)
    found = simulated(machinery=machinery, fleet=fleet, losses=changed(SPOT, arrival_s=HOUR), repetitions=50)
    assert simulated(machinery=machinery, fleet=fleet).shares["images"] == 0
    assert found.shares["images"] > 0.01


def test_a_first_pass_comes_once() -> None:
    with_pass, without = (
        simulated(losses=changed(SPOT, arrival_s=0.0), fleet=ONE, machinery=LONG, first_pass_s=seconds, repetitions=100)
        for seconds in (1000.0, 0.0)
    )
    assert with_pass.shares["start"] * with_pass.total_s.mean >= 1060 - 1e-6
    assert with_pass.total_s.mean - without.total_s.mean < 5000


# ── what is no training ──


def test_a_cluster_that_decodes_nothing_is_an_error() -> None:
    blind = changed(FLEET, cpus_per_gpu_node=4, decode_nodes=0)
    with pytest.raises(EndlessTrainingError, match="no image ever comes: no core decodes"):
        simulated(fleet=blind, losses=SPOT)
    held = changed(MACHINERY, source__per_core=math.inf)
    with pytest.raises(EndlessTrainingError, match="no image ever comes: no core decodes"):
        simulated(machinery=held, fleet=blind, losses=SPOT, first_pass_s=math.inf)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("epochs", [1, 100_000])
@pytest.mark.parametrize("notice_s", [None, 100.0])
@pytest.mark.parametrize("recovery", [RECOVERY, ELASTIC])
def test_a_cluster_that_dies_faster_than_it_works_is_an_error(
    recovery: Recovery, notice_s: float | None, epochs: int
) -> None:
    losses = Losses(per_hour=200.0, notice_s=notice_s, arrival_s=600.0)
    with pytest.raises(EndlessTrainingError, match="nodes are lost faster than work gets done"):
        simulated(machinery=changed(MACHINERY, workload__epochs=epochs), losses=losses, recovery=recovery)


def test_too_few_images_for_the_gpus_are_an_error() -> None:
    with pytest.raises(ValueError, match="fewer than 2 a step for each of 8 GPUs"):
        simulated(machinery=changed(MACHINERY, workload__batch_size=15))


def test_a_seed_says_it_all() -> None:
    assert simulated(losses=SPOT, repetitions=20) == simulated(losses=SPOT, repetitions=20)
    assert simulated(losses=SPOT, repetitions=20) != simulated(losses=SPOT, repetitions=20, seed=1)


# ── states ──


@pytest.mark.parametrize("seed", range(20))
def test_one_long_stretch_is_many_short_ones(seed: int) -> None:
    draw = np.random.default_rng(seed)
    saving = Saving(every_s=draw.uniform(5, 300), save_s=draw.choice([0.0, 3.0]), epoch_pause_s=draw.choice([0.0, 2.0]))
    image_s, total_s = draw.uniform(0.01, 0.3), draw.uniform(500, 5000)
    once, often = (SavedWork(1000, 12, saving) for _ in range(2))
    spent = once.advance(total_s, image_s)
    pieces = draw.dirichlet(np.ones(200)) * total_s
    assert sum(often.advance(piece, image_s) for piece in pieces) == pytest.approx(spent)
    assert once.images == pytest.approx(often.images)
    assert (once.worked_s, once.saving_s) == (pytest.approx(often.worked_s), pytest.approx(often.saving_s))
    assert once.worked_s + once.saving_s == pytest.approx(spent)
    assert once.is_over == often.is_over
    assert once.fall_back() == pytest.approx(often.fall_back(), abs=1e-3)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("every_s", [math.inf, 1e4 / 3])
def test_a_rest_too_small_to_count_ends_too(every_s: float) -> None:
    for seed in range(200):
        work = SavedWork(10**9, 1, Saving(every_s=every_s, save_s=0.1, epoch_pause_s=0.0))
        limit_s = np.random.default_rng(seed).uniform(1e4, 1e6)
        assert work.advance(limit_s, 10.0) == pytest.approx(limit_s)


def test_what_is_lost_is_what_was_done_since_the_newest_state() -> None:
    work = SavedWork(1000, 3, Saving(every_s=60.0, save_s=5.0, epoch_pause_s=0.0))
    work.advance(64.0, 1.0)  # 60 s of work; the state is not whole yet
    assert (work.fall_back(), work.images) == (60, 0)
    work.advance(65 + 65 + 30, 1.0)
    assert (work.fall_back(), work.images) == (30, 120)
    assert work.advance(1e9, 1.0) < 1e9
    assert work.is_over


# ── what is known of the rest of raydr and of Ray ──


def test_the_figures_are_those_of_ray_and_of_the_training() -> None:
    from ray.data._internal.execution.resource_manager import ResourceManager
    from ray.train.v2._internal.constants import DEFAULT_PREEMPTION_POLL_INTERVAL_S

    from raydr.training import trainer

    assert trainer._START_SHRUNK_S == PATIENCE_S
    assert trainer._RESIZE_EVERY_S == RESIZE_EVERY_S
    assert ResourceManager.DEFAULT_OBJECT_STORE_MEMORY_LIMIT_FRACTION == STREAMED_SHARE
    assert DEFAULT_PREEMPTION_POLL_INTERVAL_S == NOTICED_S
