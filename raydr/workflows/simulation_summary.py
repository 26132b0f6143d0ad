"""The simulated courses of a training as a person reads them."""

import textwrap
from collections.abc import Iterator, Sequence
from math import inf
from typing import Final

from raydr.capacity.course import Use
from raydr.capacity.plan import Workload
from raydr.capacity.simulation import Forecast
from raydr.capacity.throughput import HeldUpBy
from raydr.config.simulation import SimulationSettings
from raydr.config.site import ClusterSettings
from raydr.reporting.table import terminal_table
from raydr.workflows.console import duration, say
from raydr.workflows.plan_simulation import ANNOUNCED, ELASTIC, NOTHING_LOST, UNANNOUNCED, FleetForecast

_WIDTH: Final = 110
_HELD_UP_BY: Final[dict[HeldUpBy, str]] = {
    "GPUs": "GPUs",
    "decoding": "decoding",
    "reading": "reading",
    "tasks": "Ray's tasks a second",
    "coordinator": "Ray Data's coordinator",
    "object store": "object store",
    "network": "network",
}
_USES: Final[dict[Use, str]] = {
    "training": "training",
    "stragglers": "slowest GPU",
    "exchange": "gradients",
    "images": "waiting for images",
    "fewer nodes": "fewer nodes",
    "saving": "states, epochs' ends",
    "done again": "work done again",
    "restarts": "restarts",
    "no node": "waiting for a node",
    "start": "first start",
}
_SMALL: Final = 0.001
_NEAR: Final = 1.5  # so much longer than the best interval costs next to nothing more


def say_simulation(found: Sequence[FleetForecast], workload: Workload, simulation: SimulationSettings) -> None:
    """Print each fleet's pace, its courses without and with losses, and what follows."""
    say(
        f"\nsimulated, {simulation.repetitions:,} times: {workload.num_train:,} images, {workload.epochs:,} epochs; "
        f"{100 * simulation.lost_per_hour:g} % of the nodes lost an hour,\nanother comes after "
        f"{simulation.arrival_minutes:g} minutes; times are medians, GPU-hours and cost means\n"
    )
    say(_paces(found) + "\n")
    say(_courses(found) + "\n")
    for line in _conclusions(found, simulation):
        say(textwrap.fill(line, _WIDTH, initial_indent="- ", subsequent_indent="  "))


def _paces(found: Sequence[FleetForecast]) -> str:
    rows = []
    for one in found:
        course = one.courses[NOTHING_LOST]
        if isinstance(course, str):
            rows.append([one.name, f"{one.fleet.num_gpus:,}", one.images_from, "-", "-", "-", "-", course])
            continue
        rows.append(
            [
                one.name,
                f"{one.fleet.num_gpus:,}",
                one.images_from,
                f"{course.images_per_s:,.0f}",
                duration(one.epoch_s),
                f"{course.shares['training'] / (1 - course.shares['start']):.0%}",
                "-" if one.interval_s is None else duration(one.interval_s),
                _HELD_UP_BY[course.held_up_by],
            ]
        )
    header = ["fleet", "GPUs", "images from", "images/s", "an epoch", "GPUs busy", "best interval", "held up by"]
    return terminal_table(rows, header)


def _courses(found: Sequence[FleetForecast]) -> str:
    rows, has_prices = [], False
    for one in found:
        for case, course in one.courses.items():
            if isinstance(course, str):
                rows.append([one.name, case, "never ends", "-", "-", "-", "-", "-"])
                continue
            has_prices |= course.cost is not None
            rows.append([one.name, case, *_course(course, one.courses[NOTHING_LOST])])
    header = ["fleet", "nodes lost", "time", "5 % to 95 %", "GPU-hours", "cost", "more", "most goes to"]
    if not has_prices:
        rows, header = [row[:5] + row[6:] for row in rows], header[:5] + header[6:]
    return terminal_table(rows, header)


def _course(course: Forecast, undisturbed: Forecast | str) -> list[str]:
    time = course.total_s
    more = "-"
    if not isinstance(undisturbed, str) and course != undisturbed:
        more = f"{course.gpu_hours.mean / undisturbed.gpu_hours.mean - 1:.1%}"
    use = course.most_lost_to
    return [
        duration(time.median),
        "-" if time.low == time.high else f"{duration(time.low)} to {duration(time.high)}",
        f"{course.gpu_hours.mean:,.0f}" if course.gpu_hours.mean >= 100 else f"{course.gpu_hours.mean:.1f}",
        "-" if course.cost is None else f"{course.cost.mean:,.2f}",
        more,
        f"{_USES[use]}, {course.shares[use]:.1%}" if course.shares[use] >= _SMALL else "-",
    ]


def _conclusions(found: Sequence[FleetForecast], simulation: SimulationSettings) -> Iterator[str]:
    most = 0
    for one in found:
        yield from _sharing(one)
        for case, why in one.courses.items():
            if isinstance(why, str):
                yield f"{one.name}, {case}: never ends: {why}"
                break  # the others have the same reason, or one that follows from it
        courses = {case: course for case, course in one.courses.items() if not isinstance(course, str)}
        if one.interval_s is not None and UNANNOUNCED in courses:
            yield f"{one.name}: {_interval(one, simulation)}"
        if ELASTIC in courses and ANNOUNCED in courses:
            gain = 1 - courses[ELASTIC].total_s.mean / courses[ANNOUNCED].total_s.mean
            word = "less" if gain > 0 else "more"
            told = f"going on with the nodes left (cluster.max_workers) takes {abs(gain):.1%} {word} time on average"
            yield f"{one.name}: {told}"
        most = max(most, *(course.most_failures for course in courses.values()), 0)
    if most > ClusterSettings().max_failures:
        yield (
            f"without notice a training may be cut off {most:,} times: set cluster.max_failures to that, it is "
            f"{ClusterSettings().max_failures} unless set; announced losses do not count"
        )


def _sharing(one: FleetForecast) -> Iterator[str]:
    course = one.courses[NOTHING_LOST]
    if isinstance(course, str) or course.held_up_by not in ("coordinator", "tasks"):
        return
    share = course.shares["training"] / (1 - course.shares["start"])
    yield (
        f"{one.name}: {_HELD_UP_BY[course.held_up_by]} gets {course.images_per_s:,.0f} images/s through, whatever the "
        f"cluster: more than {max(1, round(one.fleet.num_gpus * share)):,} GPUs do not make this training faster"
    )


def _interval(one: FleetForecast, simulation: SimulationSettings) -> str:
    best_s, minutes = one.interval_s or 0.0, simulation.save_every_minutes
    now_s = min(one.epoch_s, inf if minutes is None else 60 * minutes)
    told = f"a state every {duration(now_s)}, by the clock or at an epoch's end"
    if now_s <= _NEAR * best_s:
        return f"{told}, is often enough"
    return (
        f"{told}; against losses without notice cluster.save_every_minutes = {max(1.0, best_s) / 60:.1f} costs least "
        "(Daly)"
    )
