"""Our own rules for RayClusters and RayJobs, beyond what KubeRay's schema prescribes."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

from cluster_files import CLUSTER, Manifest, documents, in_repository, pin
from pod_rules import IMAGES, RESTRICTED, broken_pod_rules, gib

from raydr.config.jobs import JOBS, Job
from raydr.config.load import assignments, load
from raydr.errors import InputError, SettingsError
from raydr.tracking.store import choose_store
from raydr.workflows.job import tracking_folder

SPOT_KEYS = {"karpenter.sh/capacity-type", "eks.amazonaws.com/capacityType", "cloud.google.com/gke-spot"}


def broken_rules(manifest: Manifest) -> list[str]:
    """Which of our rules a manifest breaks, in words."""
    job = manifest["spec"] if manifest["kind"] == "RayJob" else None
    cluster = manifest["spec"] if job is None else job["rayClusterSpec"]
    broken = [*_broken_cluster(manifest, cluster), *_broken_groups(cluster)]
    if job is not None:
        broken += _broken_job(manifest, cluster)
    return broken


def _broken(rules: dict[str, bool]) -> list[str]:
    return [rule for rule, holds in rules.items() if not holds]


def _broken_cluster(manifest: Manifest, cluster: Manifest) -> list[str]:
    options = cluster.get("autoscalerOptions", {})
    autoscaled = cluster.get("enableInTreeAutoscaling", False)
    head = cluster["headGroupSpec"]
    pod = head["template"]["spec"]
    terms = _spot_terms(pod)
    broken = _broken(
        {
            "apiVersion is ray.io/v1": manifest["apiVersion"] == "ray.io/v1",
            "the namespace is raydr": manifest["metadata"].get("namespace") == "raydr",
            "rayVersion is the pin": cluster.get("rayVersion") == pin("ray"),
            "token authentication, the token in a Secret": cluster.get("authOptions")
            == {"mode": "token", "secretName": "raydr-token"},
            "autoscaler v2": not autoscaled or options.get("version") == "v2",
            "idle nodes go": not autoscaled or options.get("idleTimeoutSeconds", 0) > 0,
            "the autoscaler's container is restricted": not autoscaled or options.get("securityContext") == RESTRICTED,
            "the head does no work": head["rayStartParams"].get("num-cpus") == "0",
            "the head is never on spot": len(terms) == 1 and terms[0] == {(key, "NotIn") for key in SPOT_KEYS},
            "only an autoscaler's head may speak to Kubernetes": pod.get("automountServiceAccountToken") is autoscaled,
        }
    )
    return [*broken, *_broken_pod("head", pod, gpus=False)]


def _broken_groups(cluster: Manifest) -> Iterator[str]:
    autoscaled = cluster.get("enableInTreeAutoscaling", False)
    for group in cluster["workerGroupSpecs"]:
        name, pod = group["groupName"], group["template"]["spec"]
        low, count, high = group["minReplicas"], group["replicas"], group["maxReplicas"]
        if not 0 <= low <= count <= high or not high:
            yield f"{name}: min <= replicas <= max"
        if not autoscaled and low != high:
            yield f"{name}: of fixed size without an autoscaler"
        gpus = _gpus(group)
        if group.get("labels") != {"tier": "gpu" if gpus else "cpu"}:
            yield f"{name}: the label says what it is for"
        keys = {toleration["key"] for toleration in pod.get("tolerations", [])}
        if gpus and "nvidia.com/gpu" not in keys:
            yield f"{name}: GPU pods tolerate the GPU taint"
        if (terms := _spot_terms(pod)) and (
            set().union(*terms) != {(key, "In") for key in SPOT_KEYS} or "cloud.google.com/gke-spot" not in keys
        ):
            yield f"{name}: spot on all three"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name}: workers do not speak to Kubernetes"
        yield from _broken_worker(name, pod)
        yield from _broken_pod(name, pod, gpus=gpus > 0)


def _broken_worker(name: str, pod: Manifest) -> Iterator[str]:
    (container,) = pod["containers"]
    hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
    notice = int(hook[2]) if len(hook) == 3 and in_repository(hook[0]).is_file() and hook[1] == "now" else 0
    if not 30 <= notice < pod.get("terminationGracePeriodSeconds", 30):
        yield f"{name}: a training has time to save before the pod is gone"
    (shared,) = [v["emptyDir"]["sizeLimit"] for v in pod["volumes"] if v["name"] == "shared-memory"]
    if not 0.3 * gib(container["resources"]["limits"]["memory"]) <= gib(shared):
        yield f"{name}: shared memory holds the object store"


def _broken_pod(name: str, pod: Manifest, *, gpus: bool) -> Iterator[str]:
    (container,) = pod["containers"]
    if container["image"] != IMAGES["cuda" if gpus else "cpu"]:
        yield f"{name}: the image names raydr's and Ray's version and what it is for"
    if container.get("envFrom") != [{"secretRef": {"name": "raydr-environment"}}]:
        yield f"{name}: credentials from a Secret"
    if pod.get("serviceAccountName") != "raydr":
        yield f"{name}: the account with the right to the bucket"
    if {"containerPort": 8080, "name": "metrics"} not in container.get("ports", []):
        yield f"{name}: Prometheus finds it"
    yield from broken_pod_rules(name, pod)


def _spot_terms(pod: Manifest) -> list[set[tuple[str, str]]]:
    """Of each term of which one must hold for a node: the keys that say what is spot, and how they are compared."""
    required = pod.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
    return [
        {(one["key"], one["operator"]) for one in term["matchExpressions"]}
        for term in required.get("nodeSelectorTerms", [])
    ]


def _gpus(group: Manifest) -> int:
    return int(group["template"]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", 0))


def _broken_job(manifest: Manifest, cluster: Manifest) -> list[str]:
    spec = manifest["spec"]
    autoscaled = cluster.get("enableInTreeAutoscaling", False)
    settings = _settings(spec["entrypoint"])
    queue = manifest["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name")
    return _broken(
        {
            "the cluster goes when the job is done": spec.get("shutdownAfterJobFinishes") is True,
            "a TTL": spec.get("ttlSecondsAfterFinished", 0) > 0,
            "a deadline": spec.get("activeDeadlineSeconds", 0) > 0,
            "tried again": spec.get("backoffLimit", 0) > 0,
            "no container beside Ray's": spec.get("submissionMode") == "HTTPMode",
            "what cannot grow starts as a whole": autoscaled or bool(queue),
            "the entrypoint is a verb whose files are valid": settings is not None,
            "the settings know whether the cluster grows": settings is None
            or settings.cluster.autoscaling is autoscaled,
            "runs are kept by cluster/mlflow": settings is None or _store(settings) == _mlflow(),
            "the job fits the cluster": settings is None or _fits(settings, cluster["workerGroupSpecs"]),
        }
    )


def _settings(entrypoint: str) -> Job | None:
    """The settings that an entrypoint would run with; None where it would end at once."""
    words = shlex.split(entrypoint)
    if words[:3] != ["python", "-m", "raydr"] or words[3] not in JOBS or len(words) % 2:
        return None
    given: dict[str, list[str]] = {"--config": [], "--set": []}
    for option, value in zip(words[4::2], words[5::2], strict=True):
        if option not in given:
            return None
        given[option].append(value)
    try:
        return load(
            words[3], [in_repository(file) for file in given["--config"]], overrides=assignments(given["--set"])
        )
    except SettingsError:
        return None


def _store(job: Job) -> str:
    """The MLflow store that a job would use; nothing where it would end at once for want of one."""
    try:
        return choose_store(uri=job.tracking.uri, default_folder=tracking_folder(job.out)).uri
    except InputError:
        return ""


def _mlflow() -> str:
    """Where the Service of cluster/mlflow is."""
    (service,) = [one for one in documents(CLUSTER / "mlflow" / "mlflow.yaml") if one["kind"] == "Service"]
    (port,) = service["spec"]["ports"]
    return f"http://{service['metadata']['name']}.{service['metadata']['namespace']}.svc:{port['port']}"


def _fits(job: Job, groups: list[Any]) -> bool:
    """Whether the job's trainers, and one decoding task where it must, fit the groups at their largest."""
    cluster = job.cluster
    label = cluster.decode_label or "="
    decoding = [group for group in groups if f"tier={group['labels'].get('tier')}" == label]
    training = [group for group in groups if group not in decoding]
    gpus = sum(_gpus(group) * group["maxReplicas"] for group in training)
    cpus = sum(
        int(re.sub(r"\D", "", group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"]))
        * group["maxReplicas"]
        for group in training
    )
    extra = 0.0 if decoding else cluster.decode_cpus
    return (
        cluster.num_workers * cluster.gpus_per_worker <= gpus
        and cluster.num_workers * cluster.cpus_per_worker + extra <= cpus
        and bool(decoding or cluster.decode_label is None)
    )
