"""What a training takes on a fleet whose nodes may be lost, over many courses drawn by chance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

from raydr.capacity.course import Course, Losses, Recovery, Use, run_course
from raydr.capacity.fleet import Fleet, Prices
from raydr.capacity.throughput import HeldUpBy, Machinery

_LOW, _HIGH = 0.05, 0.95
USES: Final[tuple[Use, ...]] = get_args(Use)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over all courses."""

    mean: float
    low: float
    """5 % of the courses are below."""
    median: float
    high: float
    """95 % are."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a training will take, and what its time goes into."""

    num_gpus: int
    held_up_by: HeldUpBy
    """While no node is missing."""
    images_per_s: float
    """While no node is missing."""
    total_s: Spread
    gpu_hours: Spread
    cost: Spread | None
    shares: Mapping[Use, float]
    """Of all time, by what it goes into; they add up to 1."""
    losses: float
    """GPU nodes that are taken away, on average."""
    most_failures: int
    """How often, in 95 % of the courses at most, it is cut off without an announcement."""

    @property
    def most_lost_to(self) -> Use:
        """What takes most of the time, besides the training itself."""
        return max(USES[1:], key=lambda use: self.shares[use])


def forecast(
    machinery: Machinery,
    fleet: Fleet,
    losses: Losses,
    recovery: Recovery,
    *,
    first_pass_s: float = 0.0,
    prices: Prices | None = None,
    repetitions: int,
    seed: int,
) -> Forecast:
    """Over so many courses; one is enough where no node is ever lost.

    Raises:
        EndlessTrainingError: It would never end.
    """
    count = repetitions if losses.per_hour else 1
    courses = [
        run_course(
            machinery, fleet, losses, recovery, first_pass_s=first_pass_s, random=np.random.default_rng([seed, number])
        )
        for number in range(count)
    ]
    pace = machinery.pace(fleet)
    all_s = sum(course.total_s for course in courses)
    return Forecast(
        num_gpus=fleet.num_gpus,
        held_up_by=pace.held_up_by,
        images_per_s=1 / pace.image_s,
        total_s=_spread(courses, lambda course: course.total_s),
        gpu_hours=_spread(courses, lambda course: course.gpu_node_s / 3600 * fleet.gpus_per_node),
        cost=None if prices is None else _spread(courses, lambda course: _cost(course, fleet, prices)),
        shares={use: sum(course.uses[use] for course in courses) / all_s for use in USES},
        losses=sum(course.losses for course in courses) / count,
        most_failures=int(np.quantile([course.failures for course in courses], _HIGH, method="inverted_cdf")),
    )


def _cost(course: Course, fleet: Fleet, prices: Prices) -> float:
    gpu_hours = course.gpu_node_s / 3600 * fleet.gpus_per_node
    core_hours = course.decode_node_s / 3600 * fleet.cpus_per_decode_node
    return gpu_hours * prices.gpu_hour + core_hours * prices.cpu_hour


def _spread(courses: Sequence[Course], figure: Callable[[Course], float]) -> Spread:
    values = np.array([figure(course) for course in courses])
    low, median, high = np.quantile(values, (_LOW, 0.5, _HIGH))
    return Spread(float(values.mean()), float(low), float(median), float(high))
