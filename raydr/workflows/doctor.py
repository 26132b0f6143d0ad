"""`raydr doctor`: what is wrong with a cluster for a job, and what to do about it, before anything is spent."""

import dataclasses
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Final

import ray
from ray.exceptions import RayError
from ray.util.state import list_nodes
from ray.util.state.exception import RayStateApiException

from raydr import storage
from raydr.config.jobs import Job
from raydr.data.node_reports import NodeProbes, own_versions
from raydr.data.nodes import alive_nodes
from raydr.errors import InputError, RunError
from raydr.tracking.reach import check_reach
from raydr.workflows.cluster import address_of, connected
from raydr.workflows.console import say
from raydr.workflows.findings import Facts, findings
from raydr.workflows.job import tracking_folder
from raydr.workflows.preflight import check_placement, probe_uri
from raydr.workflows.submission import STOP_WAIT

_JOB_CONFIG: Final = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # what Ray gives a submitted job and nobody else
_RAYS_STOP_WAIT_S: Final = 3.0
_API_PATIENCE_S: Final = 10


def doctor(settings: Job) -> int:
    """The exit status, 1 where a run would fail, after a line for each finding.

    Settings of a job, or of a site alone with an empty `out`; below an `out` a small file is written and deleted.
    """
    with connected(settings.cluster):
        facts = _facts(settings)
    found = findings(facts)
    for finding in found:
        say(finding.line(), finding=dataclasses.asdict(finding))
    errors, warnings = (sum(finding.level == level for finding in found) for level in ("error", "warning"))
    say(f"doctor: {_verdict(errors, warnings)}", facts=dataclasses.asdict(facts))
    return 1 if errors else 0


def _verdict(errors: int, warnings: int) -> str:
    told = [f"{count} {word}{'s' * (count > 1)}" for count, word in ((errors, "error"), (warnings, "warning")) if count]
    return ", ".join(told) or "all is well"


def _facts(settings: Job) -> Facts:
    nodes, dashboard = alive_nodes(), _dashboard()
    sent = probe_uri(settings.out) if settings.out else None
    storage_fault = "" if sent is None else _driver_storage_fault(sent)
    reports = NodeProbes(nodes).reports(None if storage_fault else sent)
    store, tracking_fault = _tried(lambda: _tracking_store(settings))
    return Facts(
        own=own_versions(),
        nodes=reports,
        joined=address_of(settings.cluster) is not None,
        dashboard=dashboard,
        lets_strangers_in=_lets_strangers_in(dashboard),
        state_api_fault=_state_api_fault(),
        placement_faults=[fault for fault in [_tried(lambda: check_placement(settings, nodes))[1]] if fault],
        grows=settings.cluster.autoscaling,
        out=settings.out,
        storage_fault=storage_fault,
        tracking=store,
        tracking_fault=tracking_fault,
        stop_grace_s=settings.cluster.stop_grace_s,
        stop_wait_s=float(os.environ.get(STOP_WAIT, _RAYS_STOP_WAIT_S)) if _JOB_CONFIG in os.environ else None,
    )


def _tried(action: Callable[[], str | None]) -> tuple[str, str]:
    """What ``action`` returns, and what went wrong."""
    try:
        return action() or "", ""
    except (InputError, RunError) as error:
        return "", str(error)


def _tracking_store(settings: Job) -> str:
    """The MLflow store, which answers; "" where none is used, or nobody knows which by default."""
    tracking = settings.tracking
    if not tracking.enabled or not (settings.out or tracking.uri or os.environ.get("MLFLOW_TRACKING_URI")):
        return ""
    return check_reach(uri=tracking.uri, default_folder=tracking_folder(storage.absolute(settings.out or ".")))


def _driver_storage_fault(sent: str) -> str:
    try:
        storage.write_bytes(sent, b"raydr doctor")
        storage.delete_file(sent)
    except OSError as error:
        return storage.cause_of(error)
    return ""


def _dashboard() -> str:
    context: Any = ray.init(ignore_reinit_error=True, logging_level=logging.WARNING)  # so is an open one asked
    url = context.address_info["webui_url"]
    return f"http://{url}" if url else ""


def _lets_strangers_in(dashboard: str) -> bool | None:
    """Whether the job API answers a request without a token, None where it does not answer."""
    if not dashboard:
        return None
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{dashboard}/api/jobs/", timeout=_API_PATIENCE_S):
            return True
    except urllib.error.HTTPError as error:
        return False if error.code in (401, 403) else None
    except OSError:
        return None


def _state_api_fault() -> str:
    try:
        list_nodes(limit=1, timeout=_API_PATIENCE_S)
    except (RayStateApiException, RayError, OSError, ValueError, RuntimeError) as error:
        lines = str(error).strip().splitlines()
        return lines[0] if lines else type(error).__name__
    return ""
