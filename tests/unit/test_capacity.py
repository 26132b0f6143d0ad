"""The arithmetic of a capacity plan: cases worked out by hand, and what must hold for any."""

import dataclasses
import inspect
import math
from typing import Any

import pytest

from raydr.capacity.fleet import Fleet, Prices
from raydr.capacity.plan import (
    CACHED_SHARE,
    PICTURES_PER_TASK,
    CapacityPlan,
    Rates,
    Workload,
    break_even,
    cores_for,
    plan_capacity,
)

WORK = Workload(
    num_images=80_000,
    num_train=40_000,
    epochs=10,
    batch_size=400,
    side_px=100,
    original_bytes=1_000_000,
    shard_bytes=50_000,
)
RATES = Rates(original_per_s=10, shard_per_s=100, prepare_per_s=5, step_per_s=100)
# 4 GPUs that eat 400 images/s, 8 spare cores beside them, and one CPU node of 10.
FLEET = Fleet(
    gpu_nodes=2,
    gpus_per_node=2,
    cpus_per_gpu_node=8,
    cpus_per_trainer=2,
    decode_nodes=1,
    cpus_per_decode_node=10,
    utilisation=0.5,
)
PRICES = Prices(gpu_hour=9.0, cpu_hour=0.4)


def planned(*, work: Any = (), rates: Any = (), fleet: Any = (), prices: Prices | None = None) -> CapacityPlan:
    """The plan of the case above with some figures exchanged."""
    return plan_capacity(
        dataclasses.replace(WORK, **dict(work)),
        dataclasses.replace(RATES, **dict(rates)),
        dataclasses.replace(FLEET, **dict(fleet)),
        prices,
    )


# ── by hand ──


def test_cores_and_nodes_to_add_by_hand() -> None:
    plan = planned()
    assert plan.images_per_s == 400
    assert plan.steps_per_epoch == 100
    # 400 / (10 * 0.5) = 80 cores; 8 spare and 10 on the decode node are there, 62 are not: 7 nodes of 10.
    assert (plan.originals.cores_needed, plan.originals.nodes_to_add) == (80, 7)
    # 400 / (100 * 0.5) = 8 cores.
    assert (plan.shards.cores_needed, plan.shards.nodes_to_add) == (8, 0)


def test_who_holds_up_whom_and_the_hours_by_hand() -> None:
    plan = planned()
    # 18 cores * 10 * 0.5 = 90 images/s of 400.
    now = plan.originals.as_it_is
    assert (now.bottleneck, now.gpu_utilisation) == ("decoding", pytest.approx(90 / 400))
    assert now.epoch_s == pytest.approx(40_000 / 90)
    assert now.total_s == pytest.approx(10 * 40_000 / 90)
    fed = plan.originals.with_nodes_added
    assert (fed.bottleneck, fed.gpu_utilisation, fed.epoch_s, fed.total_s) == ("GPUs", 1.0, 100, 1000)
    # All 26 cores prepare before a trainer is there: 26 * 5 * 0.5 = 65 photographs/s.
    assert plan.prepare_s == pytest.approx(80_000 / 65)
    assert plan.shards.as_it_is.total_s == pytest.approx(1000 + 80_000 / 65)
    assert plan.originals.first_pass_s == pytest.approx(40_000 / 90)


def test_bytes_by_hand() -> None:
    plan = planned()
    assert plan.originals.epoch_bytes == 40_000 * 1e6
    assert plan.originals.total_bytes == 400_000 * 1e6
    assert plan.originals.read_bytes_per_s == 400 * 1e6
    # Shards are read whole, with the 40,000 pictures of other splits; `prepare` reads and writes all 80,000 once.
    assert plan.shards.epoch_bytes == 80_000 * 50e3
    assert plan.shards.total_bytes == 10 * 80_000 * 50e3 + 80_000 * (1e6 + 50e3)
    assert plan.shards.read_bytes_per_s == 400 * 2 * 50e3
    assert plan.decoded_bytes == 40_000 * 3 * 100 * 100
    assert plan.picture_bytes_per_s == 200 * 3 * 100 * 100
    # Two tasks' pictures for each of 80 cores, two batches of 100 for each of 4 GPUs.
    assert plan.originals.in_flight_bytes == (2 * 80 * 64 + 2 * 400) * 30_000


def test_cost_by_hand() -> None:
    plan = planned(prices=PRICES, fleet={"prepare_nodes": 2})
    # 4 GPUs at 9 and 10 cores at 0.4: 40 an hour; with 7 more nodes of 10 cores 68.
    assert plan.originals.as_it_is.total_cost == pytest.approx(10 * 40_000 / 90 / 3600 * 40)
    assert plan.originals.with_nodes_added.total_cost == pytest.approx(1000 / 3600 * 68)
    # Two nodes of 10 cores prepare 50 photographs/s, at 8 an hour, while no GPU is paid for.
    assert (plan.prepare_s, plan.prepare_cost) == (1600, pytest.approx(1600 / 3600 * 8))
    assert plan.shards.as_it_is.total_cost == pytest.approx(1000 / 3600 * 40 + 1600 / 3600 * 8)
    assert planned(prices=PRICES).prepare_cost == pytest.approx(80_000 / 65 / 3600 * 40)
    assert planned().originals.as_it_is.total_cost is None


def test_reading_by_hand() -> None:
    # 3 nodes of 20 MB/s read 60 photographs/s, fewer than the 90 that their cores decode.
    plan = planned(fleet={"read_bytes_per_s": 20e6})
    assert plan.originals.as_it_is.bottleneck == "reading"
    assert plan.originals.as_it_is.gpu_utilisation == pytest.approx(60 / 400)
    # 400 photographs/s of 1 MB take 20 such nodes: 17 more, though 7 would have the cores.
    assert plan.originals.nodes_to_add == 17
    assert plan.originals.with_nodes_added.bottleneck == "GPUs"
    assert plan.shards.as_it_is.bottleneck == "GPUs"
    # All of 3 nodes read 60 of the 65 photographs/s that they could prepare.
    assert plan.prepare_s == pytest.approx(80_000 / 60)


def test_spare_cores_are_whole_cores_of_a_node() -> None:
    # 2 * 1.75 of 8 leave 4.5 on each node: a task needs a whole one.
    assert planned(fleet={"cpus_per_trainer": 1.75, "decode_nodes": 0}).originals.as_it_is.gpu_utilisation == (
        pytest.approx(8 * 10 * 0.5 / 400)
    )


def test_where_no_core_decodes_training_never_ends() -> None:
    plan = planned(fleet={"cpus_per_trainer": 4, "decode_nodes": 0})
    assert plan.originals.as_it_is == dataclasses.replace(
        plan.originals.as_it_is, bottleneck="decoding", gpu_utilisation=0, epoch_s=math.inf, total_s=math.inf
    )
    assert plan.originals.with_nodes_added.bottleneck == "GPUs"
    assert plan.break_even_epochs is None


def test_a_batch_is_no_larger_than_the_images() -> None:
    plan = planned(work={"num_train": 40})
    assert plan.steps_per_epoch == 1
    with pytest.raises(ValueError, match="fewer than 2 a step for each of 4 GPUs"):
        planned(work={"num_train": 7})


# ── properties ──


def test_more_gpus_never_need_fewer_cores() -> None:
    needs = [planned(fleet={"gpu_nodes": nodes}).originals.cores_needed for nodes in range(1, 60)]
    assert needs == sorted(needs)
    assert needs[-1] == 59 * 40


def test_twice_the_rate_needs_half_the_cores() -> None:
    for rate in (0.7, 3.0, 10.0, 33.3):
        once = planned(rates={"original_per_s": rate}).originals.cores_needed
        twice = planned(rates={"original_per_s": 2 * rate}).originals.cores_needed
        assert twice == math.ceil(400 / (2 * rate * 0.5))
        assert 0 <= 2 * twice - once <= 1


def test_rounding_error_adds_no_core() -> None:
    assert cores_for(0.3, per_core=0.1, utilisation=0.5) == 6  # 0.3 / 0.05 is 5.999999999999999 or 6.000000000000001
    assert cores_for(3 * 0.1, per_core=0.1, utilisation=0.5) == 6
    assert cores_for(401, per_core=10, utilisation=0.5) == 81


@pytest.mark.parametrize("read", [None, 3e6, 20e6, 1e9])
@pytest.mark.parametrize("rate", [0.1, 1.0, 9.7, 100.0])
def test_the_nodes_added_are_enough_and_none_too_many(rate: float, read: float | None) -> None:
    plan = planned(rates={"original_per_s": rate}, fleet={"read_bytes_per_s": read})
    assert plan.originals.with_nodes_added.gpu_utilisation == 1
    added = plan.originals.nodes_to_add
    if added:
        fewer = planned(
            rates={"original_per_s": rate},
            fleet={"read_bytes_per_s": read, "decode_nodes": FLEET.decode_nodes + added - 1},
        )
        assert fewer.originals.as_it_is.gpu_utilisation < 1
    else:
        assert plan.originals.with_nodes_added == plan.originals.as_it_is


@pytest.mark.parametrize("utilisation", [0.0, 1.0, -0.5, 1.5])
def test_no_headroom_and_no_use_are_refused(utilisation: float) -> None:
    with pytest.raises(ValueError, match="utilisation must be above 0 and below 1"):
        dataclasses.replace(FLEET, utilisation=utilisation)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_rates_that_are_none_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="prepare_per_s must be above 0 and finite"):
        dataclasses.replace(RATES, prepare_per_s=rate)


def test_trainers_that_do_not_fit_their_node_are_refused() -> None:
    with pytest.raises(ValueError, match="2 trainers of 5 CPUs do not fit a node of 8"):
        dataclasses.replace(FLEET, cpus_per_trainer=5)


def test_prepare_pays_from_the_epoch_where_the_total_times_cross() -> None:
    epochs = planned().break_even_epochs
    assert epochs == math.ceil(80_000 / 65 / (40_000 / 90 - 100)) == 4

    def spared(count: int) -> float:
        plan = planned(work={"epochs": count})
        return plan.originals.as_it_is.total_s - plan.shards.as_it_is.total_s

    assert spared(epochs - 1) < 0 <= spared(epochs)


def test_prepare_pays_in_money_from_the_epoch_where_the_total_costs_cross() -> None:
    dear = Prices(gpu_hour=9.0, cpu_hour=4.0)
    epochs = planned(prices=dear).break_even_epochs_cost
    assert epochs is not None

    def spared(count: int) -> float:
        plan = planned(work={"epochs": count}, prices=dear)
        fed = plan.originals.with_nodes_added.total_cost, plan.shards.with_nodes_added.total_cost
        assert None not in fed
        return fed[0] - fed[1]  # type: ignore[operator]

    assert spared(epochs - 1) < 0 <= spared(epochs)
    assert planned().break_even_epochs_cost is None


def test_prepare_never_pays_where_the_epochs_are_no_faster() -> None:
    assert break_even(10.0, 3.0, 3.0) is None
    assert break_even(10.0, 3.0, 4.0) is None
    assert break_even(10.0, 3.0, 1.0) == 5
    assert planned(rates={"original_per_s": 1000}).break_even_epochs is None


# ── what is known of the rest of raydr ──


def test_the_figures_of_ray_data_are_those_of_the_streams() -> None:
    from raydr.data import order, streams

    assert order.ROWS_PER_TASK == PICTURES_PER_TASK
    assert inspect.signature(streams.fits_memory).parameters["limit_fraction"].default == CACHED_SHARE
