"""What scoring takes of the cluster."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from raydr.data.nodes import Node, alive_nodes
from raydr.data.order import ROWS_PER_TASK
from raydr.errors import InputError

_SMALLEST_SHARE: Final = 1e-4  # of a CPU: Ray's own resolution


@dataclass(frozen=True, slots=True)
class Placement:
    """Actors with the network, and tasks that decode for them."""

    actors: int | None = None
    """At most; None takes what the GPUs, or the CPUs, have room for."""
    cpus_per_actor: float = 1.0
    gpus_per_actor: float | None = None
    """None: a GPU each where the cluster has any, else none."""
    decode_cpus: float = 1.0
    """CPUs one decoding task reserves; 0: actors decode for themselves."""
    grows: bool = False
    """The cluster gets nodes on demand: it is not as it will be."""


def fitted(wanted: Placement, *, num_images: int, are_photographs: bool) -> Placement:
    """``wanted`` as this cluster has room for it.

    Without GPUs every core gets an actor that decodes its own photographs: nothing waits for anything then, however
    long the network takes beside the decoding. Else an actor and a decoding task fit side by side, or neither would
    ever end.

    Args:
        wanted: What to take at most.
        num_images: For so many images; no actor is started for less than a task's worth of them.
        are_photographs: They are files to decode, and do not come out of shards.

    Raises:
        InputError: No node of a cluster that does not grow has as much of a GPU as an actor is to have.
    """
    nodes = alive_nodes()
    cpus, num_gpus = [node.cpus for node in nodes], sum(node.gpus for node in nodes)
    gpus = wanted.gpus_per_actor
    if gpus is None:
        gpus = min(1.0, num_gpus)
    place, useful = replace(wanted, gpus_per_actor=gpus), max(1, -(-num_images // ROWS_PER_TASK))
    if wanted.grows:
        if are_photographs and not gpus:
            place = replace(place, cpus_per_actor=1.0, decode_cpus=0.0)
        return replace(place, actors=min(useful, wanted.actors or useful))
    check_scoring_room(gpus, nodes)
    if are_photographs and not gpus:
        place = replace(place, cpus_per_actor=min(1.0, max(cpus, default=0.0)) or 1.0, decode_cpus=0.0)
    elif sum(cpus):
        actor, decode = fit_cpus(wanted.cpus_per_actor, wanted.decode_cpus, cpus)
        place = replace(place, cpus_per_actor=actor, decode_cpus=decode)
    room = place.actors
    if room is None:
        room = int(num_gpus / gpus) if gpus else _room_on(cpus, place)
    return replace(place, actors=max(1, min(room, useful)))


def check_scoring_room(gpus_per_actor: float, nodes: Sequence[Node]) -> None:
    """Raise InputError where no node has as much of a GPU as an actor is to have: it would be waited for."""
    most = max((node.gpus for node in nodes), default=0.0)
    if gpus_per_actor > most:
        raise InputError(
            f"cluster.gpus_per_worker: is {gpus_per_actor:g}, no node of the cluster has more than {most:g} GPUs; lower"
            " it (0: GPUs are used where there are any), or set cluster.autoscaling where the cluster grows on demand"
        )


def fit_cpus(actor: float, decode: float, nodes: list[float]) -> tuple[float, float]:
    """CPUs for an actor and for a decoding task that fit nodes of so many CPUs side by side, at most those wanted."""
    largest, total = max(nodes), sum(nodes)
    actor, decode = min(actor, largest), min(decode, largest)
    if actor + decode <= total:
        return actor, decode
    return _share(actor * total / (actor + decode)), _share(decode * total / (actor + decode))


def _room_on(cpus: list[float], place: Placement) -> int:
    """Actors that nodes of so many CPUs have room for: all of them, or half beside decoding tasks."""
    if not place.decode_cpus:
        return sum(int(count / place.cpus_per_actor) for count in cpus)
    return int(sum(cpus) / 2 / max(place.cpus_per_actor, 0.1))


def _share(cpus: float) -> float:
    """Rounded down to what Ray can reserve: whole CPUs, or a part of one."""
    return float(int(cpus)) if cpus >= 1 else int(cpus / _SMALLEST_SHARE) * _SMALLEST_SHARE
