"""Before anything is spent: whether the cluster has a place for a job, and whether its nodes share storage."""

import contextlib
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Final

from raydr import storage
from raydr.config.jobs import (
    DistillSettings,
    EvaluateSettings,
    FinetuneSettings,
    Job,
    PredictSettings,
    PretrainSettings,
    RunSettings,
    SearchSettings,
    StudySettings,
)
from raydr.data.node_reports import NodeProbes
from raydr.data.nodes import Node, alive_nodes
from raydr.errors import InputError
from raydr.inference.placement import check_scoring_room
from raydr.search.room import check_trial_room
from raydr.study.tasks import check_cell_room
from raydr.training.room import check_room
from raydr.workflows.cluster import address_of, connected
from raydr.workflows.console import say
from raydr.workflows.result import beside

_PATIENCE_S: Final = 30.0
_JOINING_S: Final = 30.0
_LOOK_EVERY_S: Final = 1.0
_TRAINING: Final = (PretrainSettings, FinetuneSettings, DistillSettings, SearchSettings, RunSettings, StudySettings)


@contextlib.contextmanager
def ready(settings: Job) -> Iterator[None]:
    """A connection to a cluster on which the job does not wait for what never comes.

    Raises:
        InputError: As `check_placement` and `check_storage`.
    """
    with connected(settings.cluster):
        check_storage(settings.out, _nodes_with_room(settings))
        yield


def _nodes_with_room(settings: Job) -> list[Node]:
    """The cluster's nodes; those of a cluster that was there before may still be joining it."""
    give_up = time.monotonic() + (0.0 if address_of(settings.cluster) is None else _JOINING_S)
    is_told = False
    while True:
        nodes = alive_nodes()
        try:
            check_placement(settings, nodes)
        except InputError as error:
            if time.monotonic() >= give_up:
                raise
            if not is_told:
                say(f"waiting up to {_JOINING_S:g} s for nodes that may be on their way: {error}")
                is_told = True
            time.sleep(_LOOK_EVERY_S)
        else:
            return nodes


def check_placement(settings: Job, nodes: Sequence[Node]) -> None:
    """Raise InputError, naming the key to change, where a training, a trial or scoring has no place on the nodes.

    Settings of a site alone are checked for a training.
    """
    has_trainers = not isinstance(settings, StudySettings) or settings.pretrains
    if (isinstance(settings, _TRAINING) and has_trainers) or type(settings) is Job:
        check_room(settings.cluster, nodes)
    if isinstance(settings, SearchSettings | RunSettings):
        stage = settings.search if isinstance(settings, RunSettings) else settings
        check_trial_room(stage, settings.cluster, nodes)
    if isinstance(settings, StudySettings):
        check_cell_room(settings.cpus_per_cell, settings.gpus_per_cell, settings.cluster, nodes)
    if isinstance(settings, EvaluateSettings | PredictSettings) and not settings.cluster.autoscaling:
        check_scoring_room(settings.cluster.gpus_per_worker, nodes)


def check_storage(out: str, nodes: Sequence[Node]) -> None:
    """Raise InputError where a node does not see what this process writes below ``out``, or cannot write there itself.

    One node alone, on which the driver is, need not be asked. A node that does not answer may be going away, which a
    training survives.
    """
    if len(nodes) < 2:
        return
    faults = NodeProbes(nodes, patience_s=_PATIENCE_S).storage_faults(probe_uri(out))
    for node, fault in zip(nodes, faults, strict=True):
        if fault:
            raise InputError(f"out: node {node.address}: {fault}; {storage_remedy(out)}")


def probe_uri(out: str) -> str:
    """A file to try the storage of ``out`` with."""
    return beside(storage.absolute(out), f".raydr-probe-{uuid.uuid4().hex[:12]}")


def storage_remedy(out: str) -> str:
    """What to do about storage that a node cannot use."""
    if storage.is_local(out):
        return "set out to an object store (s3://, gs://) or to a folder that every node has mounted at the same place"
    return "give every node the store's address and credentials, with the right to read, write and delete"
