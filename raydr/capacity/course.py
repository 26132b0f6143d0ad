"""The course of one training whose nodes are taken away by chance: when what happens, what is lost."""

import functools
import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf, isfinite
from typing import Final, Literal

import numpy as np

from raydr.capacity.fleet import Fleet
from raydr.capacity.saved_work import SavedWork, Saving
from raydr.capacity.throughput import Machinery, Pace

NOTICED_S: Final = 5.0
"""Until a training knows of an announcement: Ray asks every 5 s (RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S, Ray 2.60)."""
PATIENCE_S: Final = 30.0
"""How long Ray Train waits for the node that is gone before it plans with those left (`raydr.training.trainer`)."""
RESIZE_EVERY_S: Final = 60.0
"""How often, at most, an elastic training looks whether it can grow (`raydr.training.trainer`)."""
_MOST_TIMES, _MOST_EVENTS = 200, 100_000
"""A training that takes so many times as long as without losses, or in which so much happens, is taken to end never."""

Use = Literal[
    "training",
    "stragglers",
    "exchange",
    "images",
    "fewer nodes",
    "saving",
    "done again",
    "restarts",
    "no node",
    "start",
]


class EndlessTrainingError(ValueError):
    """A training that would never end."""


@dataclass(frozen=True, slots=True)
class Losses:
    """How nodes, GPU nodes and decode nodes alike, are taken away: each by chance, at any time alike (Poisson)."""

    per_hour: float
    """Of one node; 0: none."""
    notice_s: float | None
    """From the announcement until the node is gone; None: nothing is announced. A decode node is gone at once."""
    arrival_s: float
    """Until another node has come in its place."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a training does when it has lost a node."""

    saving: Saving
    restart_s: float
    """From when its nodes are there until it trains."""
    fewest_nodes: int | None
    """It goes on with those left, at least so many, and grows again; None: it waits for all."""
    resize_every_s: float
    """How often it looks whether it can grow; growing loses what is not saved."""


@dataclass(slots=True)
class Course:
    """What became of a training."""

    total_s: float = 0.0
    uses: defaultdict[Use, float] = field(default_factory=lambda: defaultdict(float))
    """What all those seconds went into."""
    gpu_node_s: float = 0.0
    decode_node_s: float = 0.0
    computed: float = 0.0
    """Images trained on, those that were lost included."""
    losses: int = 0
    """GPU nodes that were taken away."""
    failures: int = 0
    """Of those, how often the training was cut off without an announcement (`cluster.max_failures`)."""


def run_course(
    machinery: Machinery,
    fleet: Fleet,
    losses: Losses,
    recovery: Recovery,
    *,
    first_pass_s: float,
    random: np.random.Generator,
) -> Course:
    """One training, from asking for its nodes to its last saved state.

    What the object stores hold is seconds of work, so it bridges no loss of a node, which takes minutes.

    Args:
        machinery: What is trained and at what pace.
        fleet: All nodes it asks for.
        losses: How they are taken away.
        recovery: What it does then.
        first_pass_s: Decoding all images once, before it begins; 0 where they are decoded as it goes. What it holds in
            memory is not decoded again, whatever is lost.
        random: Draws the losses.

    Raises:
        EndlessTrainingError: No image ever comes, or nodes are lost faster than anything gets done.
    """
    pace = functools.cache(lambda gpu, decode: machinery.pace(fleet.of(gpu_nodes=gpu, decode_nodes=decode)))
    whole = pace(fleet.gpu_nodes, fleet.decode_nodes)
    if not isfinite(whole.image_s + first_pass_s):
        raise EndlessTrainingError("no image ever comes: no core decodes")
    work = SavedWork(machinery.workload.num_train, machinery.workload.epochs, recovery.saving)
    undisturbed_s = work.images_per_epoch * work.epochs * whole.image_s + first_pass_s
    return _Run(
        fleet,
        losses,
        recovery,
        pace,
        work,
        random,
        until_s=_MOST_TIMES * (undisturbed_s + losses.arrival_s + recovery.restart_s),
        first_pass_s=first_pass_s,
    ).finish()


@dataclass(slots=True)
class _Run:
    fleet: Fleet
    losses: Losses
    recovery: Recovery
    pace: Callable[[int, int], Pace]
    work: SavedWork
    random: np.random.Generator
    until_s: float
    first_pass_s: float
    course: Course = field(default_factory=Course)
    images: list[tuple[float, tuple[int, int]]] = field(default_factory=list)
    """Trained on and not lost, one after another, and the GPU nodes and decode nodes that there were."""
    now: float = 0.0
    gpu: int = 0
    decode: int = 0
    leaving: int = 0
    """GPU nodes that are announced to go."""
    group: int = 0
    """Nodes of the workers; 0 while there are too few for them."""
    leaving_group: int = 0
    generation: int = 0
    """Of the workers: what is planned for one does not concern the next."""
    is_up: bool = False
    has_begun: bool = False
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    number: int = 0

    def finish(self) -> Course:
        self.after(self.losses.arrival_s, self.all_come)
        while True:
            loss_at, event_at = self.next_loss(), self.events[0][0] if self.events else inf
            self.go_to(min(loss_at, event_at))
            if self.work.is_over:
                return self.summed_up()
            if self.now > self.until_s or self.number > _MOST_EVENTS:
                raise EndlessTrainingError(
                    f"after {self.now / 3600:,.0f} hours {self.work.images:,.0f} images are trained on: nodes are lost "
                    "faster than work gets done"
                )
            if loss_at < event_at:
                self.lose()
            else:
                heapq.heappop(self.events)[2]()

    def next_loss(self) -> float:
        # What comes by chance has no memory, so it may be drawn anew after every event.
        rate = self.losses.per_hour / 3600 * (self.gpu - self.leaving + self.decode)
        return self.now + self.random.exponential(1 / rate) if rate else inf

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.events, (self.now + seconds, self.number, what))

    def go_to(self, then: float) -> None:
        spent = then - self.now
        if not self.has_begun:
            self.course.uses["start"] += spent
        elif not self.is_up:
            self.course.uses["restarts" if self.group else "no node"] += spent
        elif isfinite(image_s := self.pace(self.group, self.decode).image_s):
            before = self.work.images
            spent = self.work.advance(spent, image_s)
            self.images.append((self.work.images - before, (self.group, self.decode)))
            self.course.computed += self.images[-1][0]
        else:
            self.course.uses["images"] += spent
        self.course.gpu_node_s += spent * self.gpu
        self.course.decode_node_s += spent * self.decode
        self.now += spent

    def all_come(self) -> None:
        self.gpu, self.decode = self.fleet.gpu_nodes, self.fleet.decode_nodes
        self.begin()

    def gpu_node_comes(self) -> None:
        self.gpu += 1
        if not self.group:
            self.begin()

    def decode_node_comes(self) -> None:
        self.decode += 1

    def begin(self, *, patience_s: float = 0.0) -> None:
        """Start the workers, if there are nodes for them."""
        wanted, there = self.fleet.gpu_nodes, self.gpu - self.leaving
        if there < (self.recovery.fewest_nodes or wanted):
            return
        self.group = there
        waits_s = patience_s if there < wanted else 0.0
        self.after(waits_s + self.recovery.restart_s + self.first_pass_s, partial(self.up, self.generation))

    def up(self, generation: int) -> None:
        if generation != self.generation:
            return
        self.is_up = self.has_begun = True
        self.first_pass_s = 0.0
        if self.recovery.fewest_nodes is not None:
            self.after(self.recovery.resize_every_s, partial(self.resize, generation))

    def lose(self) -> None:
        gpu = self.gpu - self.leaving
        drawn = self.random.random() * (gpu + self.decode)
        if drawn >= gpu:  # its tasks run again elsewhere
            self.decode -= 1
            self.after(self.losses.arrival_s, self.decode_node_comes)
            return
        self.course.losses += 1
        is_member = drawn < self.group - self.leaving_group
        self.leaving += 1
        self.leaving_group += is_member
        generation = self.generation if is_member else -1
        if self.losses.notice_s is None:
            self.course.failures += is_member and self.is_up
            self.gone(generation)
        else:
            self.after(min(NOTICED_S, self.losses.notice_s), partial(self.save, generation))
            self.after(self.losses.notice_s, partial(self.gone, generation))

    def save(self, generation: int) -> None:
        if generation == self.generation and self.is_up:
            self.work.save()

    def gone(self, generation: int) -> None:
        self.gpu -= 1
        self.leaving -= 1
        self.after(self.losses.arrival_s, self.gpu_node_comes)
        if generation == self.generation:
            self.cut()
            self.begin(patience_s=PATIENCE_S)

    def resize(self, generation: int) -> None:
        if generation != self.generation:
            return
        if self.gpu - self.leaving > self.group:
            self.cut()
            self.begin()
        else:
            self.after(self.recovery.resize_every_s, partial(self.resize, generation))

    def cut(self) -> None:
        """End the workers; what is not saved is lost."""
        lost = self.work.fall_back()
        while lost > 0 and self.images:
            images, nodes = self.images.pop()
            if images > lost:
                self.images.append((images - lost, nodes))
            lost -= images
        self.group, self.leaving_group, self.is_up = 0, 0, False
        self.generation += 1

    def summed_up(self) -> Course:
        whole, uses = self.pace(self.fleet.gpu_nodes, self.fleet.decode_nodes), self.course.uses
        worked_s = 0.0
        for images, nodes in self.images:
            pace = self.pace(*nodes)
            worked_s += images * pace.image_s
            uses["training"] += images * whole.computing_s
            uses["fewer nodes"] += images * (pace.computing_s - whole.computing_s)
            uses["stragglers"] += images * pace.straggling_s
            uses["exchange"] += images * pace.exchanging_s
            uses["images"] += images * pace.starving_s
        uses["done again"] += self.work.worked_s - worked_s
        uses["saving"] += self.work.saving_s
        self.course.total_s = self.now
        return self.course
