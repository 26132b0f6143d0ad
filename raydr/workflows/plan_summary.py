"""A capacity plan as a person reads it, and as settings of the jobs to come."""

import textwrap
from collections.abc import Iterator, Mapping
from math import ceil, isfinite

from raydr.capacity.fleet import Fleet
from raydr.capacity.plan import CACHED_SHARE, CapacityPlan, Feed, Outlook, Rates, Workload
from raydr.reporting.table import terminal_table
from raydr.workflows.console import duration, say

_RATE_WORDS = {
    "original_per_s": ("photograph to input", "core"),
    "shard_per_s": ("prepared picture to input", "core"),
    "prepare_per_s": ("photograph to prepared picture", "core"),
    "step_per_s": ("training step", "GPU"),
}
_FEW_IMAGES = 32  # a step of fewer seldom fills a GPU
_HOUR_S = 3600.0
_WIDTH = 110


def cluster_overlay(fleet: Fleet) -> str:
    """The overlay by which a job trains on such machines: a worker for each GPU, one core for each decoding task."""
    return (
        "[cluster]\n"
        f"num_workers = {fleet.num_gpus}\n"
        f"cpus_per_worker = {fleet.cpus_per_trainer:g}\n"
        "gpus_per_worker = 1\n"
        "decode_cpus = 1\n"
    )


def say_plan(
    plan: CapacityPlan,
    workload: Workload,
    rates: Rates,
    fleet: Fleet,
    *,
    measured: Mapping[str, str],
    object_store_bytes: float | None,
) -> None:
    """Print rates, needs, prospects and what follows from them.

    Args:
        plan: What came of the other three.
        workload: What is trained on.
        rates: How fast.
        fleet: Where.
        measured: On what those rates were measured that were not given.
        object_store_bytes: Of a GPU node; None where it is not known.
    """
    steps = (
        f"{_counted(plan.steps_per_epoch, 'step')} of {workload.local_batch_size(fleet.num_gpus) * fleet.num_gpus:,}"
    )
    say(
        f"\n{_counted(workload.num_images, 'photograph')}, {workload.num_train:,} of them an epoch ({steps}), "
        f"{_counted(workload.epochs, 'epoch')}\n"
        f"{_counted(fleet.num_gpus, 'GPU')} on {_counted(fleet.gpu_nodes, 'node')}: "
        f"{_rate(plan.images_per_s)} images/s when nothing holds them up\n"
    )
    rows = [
        [words, _rate(getattr(rates, name)), unit, f"measured on {measured[name]}" if name in measured else "given"]
        for name, (words, unit) in _RATE_WORDS.items()
    ]
    say(terminal_table(rows, ["rate", "images/s", "of one", "from"]) + "\n")
    say(_needs(plan, fleet) + "\n")
    say(_prospects(plan, workload) + "\n")
    for line in (
        *_conclusions(plan),
        *_memory(plan, object_store_bytes),
        *_warnings(plan, workload, fleet, measured),
    ):
        say(textwrap.fill(line, _WIDTH, initial_indent="- ", subsequent_indent="  "))


def _needs(plan: CapacityPlan, fleet: Fleet) -> str:
    """What keeps the GPUs busy."""
    rows = [
        [
            name,
            f"{feed.cores_needed:,}",
            f"{fleet.decode_cores:,}",
            f"{feed.nodes_to_add:,}",
            f"{_size(feed.read_bytes_per_s)}/s",
            _size(feed.epoch_bytes),
            _size(feed.total_bytes),
            _size(feed.in_flight_bytes),
        ]
        for name, feed in _feeds(plan)
    ]
    nodes = f"{fleet.cpus_per_decode_node}-CPU nodes to add"
    header = ["busy GPUs from", "need cores", "have", nodes, "reading", "an epoch reads", "in all", "in flight"]
    return terminal_table(rows, header)


def _prospects(plan: CapacityPlan, workload: Workload) -> str:
    """How long it takes and what it costs, as it is and with what is missing."""
    rows = []
    for name, feed in _feeds(plan):
        rows.append(["as they are", name, *_prospect(feed.as_it_is, plan, feed)])
        if feed.nodes_to_add:
            rows.append(
                [f"{_counted(feed.nodes_to_add, 'node')} more", name, *_prospect(feed.with_nodes_added, plan, feed)]
            )
    header = ["machines", "images from", "held up by", "GPUs busy", "prepare", "an epoch", f"all {workload.epochs:,}"]
    if plan.prepare_cost is None:
        return terminal_table(rows, header)
    return terminal_table(rows, [*header, "cost"])


def _prospect(outlook: Outlook, plan: CapacityPlan, feed: Feed) -> list[str]:
    prepares = feed is plan.shards
    cost = [] if outlook.total_cost is None else [f"{outlook.total_cost:,.2f}" if isfinite(outlook.total_cost) else "-"]
    return [
        outlook.bottleneck,
        f"{outlook.gpu_utilisation:.0%}",
        _time(plan.prepare_s) if prepares else "-",
        _time(outlook.epoch_s),
        _time(outlook.total_s),
        *cost,
    ]


def _conclusions(plan: CapacityPlan) -> Iterator[str]:
    epochs = plan.break_even_epochs
    if epochs is not None:
        yield f"prepare pays in time from {_counted(epochs, 'epoch')} on, with the machines as they are"
    elif plan.originals.as_it_is.bottleneck == "GPUs":
        yield "prepare saves no time: the originals keep the GPUs busy"
    else:
        yield "prepare saves no time: prepared pictures come no faster than originals"
    if plan.prepare_cost is not None:
        epochs = plan.break_even_epochs_cost
        yield (
            "prepare saves no money: busy GPUs cost no less with it"
            if epochs is None
            else f"prepare pays in money from {_counted(epochs, 'epoch')} on, with the nodes added that either needs"
        )
    yield f"up to {_size(plan.picture_bytes_per_s)}/s of decoded pictures go into each GPU node over the network"


def _memory(plan: CapacityPlan, object_store_bytes: float | None) -> Iterator[str]:
    decoded = f"the training images decoded are {_size(plan.decoded_bytes)}"
    if object_store_bytes is None:
        return
    if plan.decoded_bytes <= CACHED_SHARE * object_store_bytes:
        first = [_time(feed.first_pass_s) for _, feed in _feeds(plan)]
        yield (
            f"{decoded}, within {CACHED_SHARE:.0%} of a GPU node's object store ({_size(object_store_bytes)}): "
            f"training decodes them once, in {first[0]} from originals or {first[1]} from prepared pictures, and keeps "
            "the GPUs busy from then on; the tables above are for decoding in every epoch"
        )
    else:
        yield (
            f"{decoded}, over {CACHED_SHARE:.0%} of a GPU node's object store ({_size(object_store_bytes)}): "
            "every epoch decodes them"
        )


def _warnings(plan: CapacityPlan, workload: Workload, fleet: Fleet, measured: Mapping[str, str]) -> Iterator[str]:
    if "CPU" in measured.get("step_per_s", ""):
        yield "WARNING: the step rate was measured on a CPU and says nothing of a GPU's; set rates.step_per_s"
    local_batch = workload.local_batch_size(fleet.num_gpus)
    if local_batch < _FEW_IMAGES:
        yield (
            f"WARNING: each GPU gets {_counted(local_batch, 'image')} a step, which seldom fill it; rates.step_per_s "
            "must be a rate at that size"
        )
    seconds = workload.epochs * workload.num_train / plan.images_per_s
    if seconds < _HOUR_S and fleet.num_gpus > 1:
        few = ceil(fleet.num_gpus * seconds / _HOUR_S)
        yield (
            f"WARNING: busy GPUs train {_counted(workload.epochs, 'epoch')} in {_time(seconds)}, about what nodes take "
            f"to start; {_counted(few, 'GPU')} would take {_time(fleet.num_gpus * seconds / few)}"
        )


def _feeds(plan: CapacityPlan) -> tuple[tuple[str, Feed], tuple[str, Feed]]:
    return ("originals", plan.originals), ("prepared", plan.shards)


def _time(seconds: float) -> str:
    return duration(seconds) if isfinite(seconds) else "never ends"


def _size(num_bytes: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes / 1e3:.0f} kB"


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
