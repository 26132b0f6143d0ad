"""What is wrong with a cluster, from facts about it, and what to do about each; nothing here asks the cluster."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from raydr.data.node_reports import NodeReport
from raydr.workflows.preflight import storage_remedy
from raydr.workflows.submission import STOP_WAIT

Level = Literal["ok", "warning", "error"]

_LARGEST_SKEW_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: a run would fail by an error, not by a warning."""

    level: Level
    check: str
    text: str
    remedy: str = ""

    def line(self) -> str:
        """As a person reads it."""
        return f"{self.level:<8} {self.check}: {self.text}" + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out about a cluster and a job; "" stands for nothing wrong."""

    own: Mapping[str, str]
    """Versions of the driver, by name."""
    nodes: Sequence[NodeReport]
    joined: bool
    """The cluster was there before; one of raydr's own has neither dashboard nor job API."""
    dashboard: str
    """Where the cluster's dashboard and job API should be."""
    lets_strangers_in: bool | None
    """Whether the job API answers who has no token; None where it does not answer at all."""
    state_api_fault: str
    placement_faults: Sequence[str]
    grows: bool
    """Nodes come on demand, and those to come were not looked at."""
    out: str
    """The job's `out`; "" where no job was given."""
    storage_fault: str
    """What went wrong when the driver wrote below `out`."""
    tracking: str
    """The MLflow store, without credentials; "" where none was to be asked."""
    tracking_fault: str
    stop_grace_s: float
    stop_wait_s: float | None
    """Seconds until Ray kills a job that is stopped; None outside one."""

    @property
    def in_job(self) -> bool:
        """Whether this is a submitted job."""
        return self.stop_wait_s is not None


def findings(facts: Facts) -> list[Finding]:
    """Everything that was looked at, in the order in which it is told."""
    return [
        *_nodes(facts),
        *_versions(facts),
        *_gpus(facts.nodes),
        *_placement(facts),
        *_storage(facts),
        *_tracking(facts),
        *_authentication(facts),
        *_state_api(facts),
        *_shared_memory(facts.nodes),
        *_clocks(facts.nodes),
        *_stopping(facts),
    ]


def _nodes(facts: Facts) -> Iterator[Finding]:
    for report in facts.nodes:
        if report.fault:
            yield Finding(
                "error",
                "nodes",
                f"{_name(report)} runs nothing of raydr's ({report.fault})",
                "install raydr there, in the same version, or submit the job with its code (raydr submit)",
            )


def _versions(facts: Facts) -> Iterator[Finding]:
    own, differs = facts.own, False
    for report in facts.nodes:
        if not report.versions:
            continue
        for what, fails in (("python", True), ("ray", True), ("raydr", True), ("code", True), ("torch", False)):
            there = report.versions[what]
            if _comparable(what, there) == _comparable(what, own[what]):
                continue
            differs = True
            name = "raydr's files" if what == "code" else what
            yield Finding(
                "error" if fails else "warning",
                "versions",
                f"{_name(report)} has {name} {there}, the driver {own[what]}",
                "submit the job with its code (raydr submit)" if what == "code" else "use one image on every node",
            )
            if what == "raydr":
                break  # its files differ too, then
    if not differs:
        named = ", ".join(f"{what} {own[what]}" for what in ("python", "ray", "torch", "raydr"))
        yield Finding("ok", "versions", f"{named} on {_count(facts.nodes)}")


def _comparable(what: str, version: str) -> str:
    """Pythons of one minor version understand each other, and so do torch's builds for CPUs and for GPUs."""
    if what == "python":
        return version.rpartition(".")[0]
    return version.partition("+")[0] if what == "torch" else version


def _gpus(nodes: Sequence[NodeReport]) -> Iterator[Finding]:
    seen = 0
    for report in nodes:
        if report.torch_gpus is None:
            continue
        if report.torch_gpus < report.node.gpus:
            yield Finding(
                "error",
                "GPUs",
                f"{_name(report)} offers {report.node.gpus:g} GPUs, torch {report.versions['torch']} sees "
                f"{report.torch_gpus} there",
                "install torch's build for CUDA and a driver that it knows, or start that node with --num-gpus=0",
            )
        else:
            seen += report.torch_gpus
    if seen:
        yield Finding("ok", "GPUs", f"torch sees {seen}")


def _placement(facts: Facts) -> Iterator[Finding]:
    for fault in facts.placement_faults:
        yield Finding("error", "placement", fault)
    cpus, gpus = sum(report.node.cpus for report in facts.nodes), sum(report.node.gpus for report in facts.nodes)
    if facts.grows:
        yield Finding(
            "ok" if cpus else "warning",
            "placement",
            f"not looked at, for nodes come on demand: {cpus:g} CPUs and {gpus:g} GPUs are there now, and of the nodes "
            "to come neither image, GPUs, storage nor /dev/shm is known",
            "" if cpus else "ask again when one of each kind is there (ray.autoscaler.sdk.request_resources)",
        )
    elif not facts.placement_faults:
        yield Finding("ok", "placement", f"trainers and decoding have a place on {cpus:g} CPUs and {gpus:g} GPUs")


def _storage(facts: Facts) -> Iterator[Finding]:
    if not facts.out:
        return
    if facts.in_job and "://" not in facts.out and not facts.out.startswith(("/", "~")):
        yield Finding(
            "error",
            "storage",
            f"out: {facts.out} is a folder of the files that were sent along, which is not kept",
            storage_remedy(facts.out),
        )
        return
    if facts.storage_fault:
        yield Finding("error", "storage", f"out: the driver: {facts.storage_fault}", _driver_remedy(facts.out))
        return
    faults = [report for report in facts.nodes if report.storage]
    for report in faults:
        text = f"out: {_name(report)}: {report.storage}"
        yield Finding("error", "storage", text, storage_remedy(facts.out))
    if not faults:
        yield Finding("ok", "storage", f"{facts.out} is read and written from {_count(facts.nodes)}")


def _driver_remedy(out: str) -> str:
    is_local = "://" not in out or out.startswith("file://")
    return "choose a folder that this user may write" if is_local else storage_remedy(out)


def _tracking(facts: Facts) -> Iterator[Finding]:
    if facts.tracking_fault:
        yield Finding(
            "error",
            "MLflow",
            facts.tracking_fault,
            "set tracking.uri or MLFLOW_TRACKING_URI (and MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD)",
        )
    elif facts.tracking:
        yield Finding("ok", "MLflow", facts.tracking)


def _authentication(facts: Facts) -> Iterator[Finding]:
    if not facts.joined:
        yield Finding("ok", "authentication", "a cluster of this machine's own, closed by a token")
    elif facts.lets_strangers_in:
        yield Finding(
            "warning",
            "authentication",
            f"whoever reaches {facts.dashboard} may run programs there",
            "start Ray with RAY_AUTH_MODE=token and a RAY_AUTH_TOKEN",
        )
    elif facts.lets_strangers_in is False:
        yield Finding("ok", "authentication", f"{facts.dashboard} refuses who has no token")


def _state_api(facts: Facts) -> Iterator[Finding]:
    if not facts.joined:
        return
    if facts.state_api_fault:
        yield Finding(
            "warning",
            "State API",
            f"does not answer ({facts.state_api_fault}): no job's log or status, and what a killed trial holds stays "
            "reserved",
            "start the head with --include-dashboard=true and the package ray[default]",
        )
    else:
        yield Finding("ok", "State API", "answers")


def _shared_memory(nodes: Sequence[NodeReport]) -> Iterator[Finding]:
    for report in nodes:
        have, need = report.shared_memory_bytes, report.node.store_bytes
        if have is not None and have < need:
            yield Finding(
                "warning",
                "shared memory",
                f"{_name(report)}: /dev/shm has {have / 2**20:.0f} MiB, the object store {need / 2**20:.0f} MiB: Ray "
                "keeps it on the disk, which is slow",
                "mount an emptyDir of medium Memory there (docker: --shm-size), or lower the object store",
            )


def _clocks(nodes: Sequence[NodeReport]) -> Iterator[Finding]:
    for report in nodes:
        if abs(report.skew_s) > _LARGEST_SKEW_S:
            direction = "ahead" if report.skew_s > 0 else "behind"
            yield Finding(
                "warning",
                "clocks",
                f"{_name(report)} is {abs(report.skew_s):.0f} s {direction}: curves are bent, and a store refuses "
                "requests from 15 minutes on",
                "run a time service (chrony) on every node",
            )


def _stopping(facts: Facts) -> Iterator[Finding]:
    if facts.stop_wait_s is not None and facts.stop_wait_s < facts.stop_grace_s:
        yield Finding(
            "warning",
            "stopping",
            f"`ray job stop` kills this job after {facts.stop_wait_s:g} s, saving may take cluster.stop_grace_s = "
            f"{facts.stop_grace_s:g}",
            f"set {STOP_WAIT} to {facts.stop_grace_s + 5:.0f} in env_vars of the runtime environment",
        )


def _name(report: NodeReport) -> str:
    return f"node {report.node.address}"


def _count(nodes: Sequence[NodeReport]) -> str:
    return "one node" if len(nodes) == 1 else f"{len(nodes)} nodes"
