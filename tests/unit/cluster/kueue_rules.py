"""Our own rules for Kueue's objects: whether what is queued would ever start, and where."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster_files import CLUSTER, Manifest, documents
from pod_rules import gib
from ray_rules import SPOT_KEYS

LABEL = "kueue.x-k8s.io/queue-name"
ELASTIC = "kueue.x-k8s.io/elastic-job"
PODS_RESOURCES = {"cpu", "memory", "nvidia.com/gpu"}


def queued_clusters() -> list[Manifest]:
    """RayJobs and RayClusters of cluster/kuberay that are to wait in a queue."""
    every = [document for path in sorted((CLUSTER / "kuberay").glob("*.yaml")) for document in documents(path)]
    return [one for one in every if LABEL in one["metadata"].get("labels", {})]


def broken_queue_rules(objects: Sequence[Manifest], queued: Sequence[Manifest]) -> list[str]:
    """Which rules Kueue's objects break for the jobs that are queued, in words."""
    by_kind: defaultdict[str, dict[str, Manifest]] = defaultdict(dict)
    for one in objects:
        by_kind[one["kind"]][one["metadata"]["name"]] = one
    broken = []
    for job in queued:
        name = job["metadata"]["name"]
        local = by_kind["LocalQueue"].get(job["metadata"]["labels"][LABEL])
        if local is None or local["metadata"].get("namespace") != job["metadata"]["namespace"]:
            broken.append(f"{name}: its queue is one of its namespace")
            continue
        cluster_queue = by_kind["ClusterQueue"].get(local["spec"]["clusterQueue"])
        if cluster_queue is None:
            broken.append(f"{name}: its queue has a ClusterQueue")
            continue
        broken += [f"{name}: {rule}" for rule in _broken_job(job, cluster_queue["spec"], by_kind["ResourceFlavor"])]
    return [*broken, *_broken_flavors(by_kind)]


def _broken_flavors(by_kind: Mapping[str, Mapping[str, Manifest]]) -> Iterator[str]:
    for flavor in by_kind["ResourceFlavor"].values():
        labels = flavor["spec"].get("nodeLabels", {})
        if labels and not set(labels) & SPOT_KEYS:
            yield f"{flavor['metadata']['name']}: its label says whether nodes are spot"
    for queue in by_kind["ClusterQueue"].values():
        for group in queue["spec"]["resourceGroups"]:
            for flavor in group["flavors"]:
                if flavor["name"] not in by_kind["ResourceFlavor"]:
                    yield f"{queue['metadata']['name']}: {flavor['name']} is a flavor that there is"
                if [resource["name"] for resource in flavor["resources"]] != group["coveredResources"]:
                    yield f"{queue['metadata']['name']}: {flavor['name']} has a quota for all that is covered, in order"


def _broken_job(job: Manifest, queue: Manifest, flavors: Mapping[str, Manifest]) -> Iterator[str]:
    spec = job["spec"]
    cluster = spec.get("rayClusterSpec", spec)
    wanted = queue["namespaceSelector"].get("matchLabels", {})
    if wanted not in ({}, {"kubernetes.io/metadata.name": job["metadata"]["namespace"]}):
        yield "the ClusterQueue takes jobs of its namespace"
    if cluster.get("enableInTreeAutoscaling") and job["metadata"].get("annotations", {}).get(ELASTIC) != "true":
        yield "what grows is marked as elastic"
    if job["kind"] == "RayJob" and not spec.get("shutdownAfterJobFinishes"):
        yield "its cluster goes when it is done, and its quota with it"
    (group,) = queue["resourceGroups"]
    left = {
        flavor["name"]: Counter({one["name"]: _amount(one["nominalQuota"]) for one in flavor["resources"]})
        for flavor in group["flavors"]
    }
    for name, count, pod in _pod_sets(cluster):
        needs = _needs(pod, count)
        if not set(needs) <= set(group["coveredResources"]):
            yield f"{name}: all that it asks for is covered"
        # As Kueue does: the first flavor whose labels its affinity allows and whose quota is enough.
        chosen = next((flavor for flavor in left if _admits(flavors.get(flavor), pod) and needs <= left[flavor]), None)
        if chosen is None:
            yield f"{name}: a flavor has room for it"
            continue
        left[chosen] -= needs
        is_spot = chosen.endswith("-spot")
        if is_spot != ("nvidia.com/gpu" in needs):
            yield f"{name}: GPU pods on spot, the others on nodes that stay"


def _pod_sets(cluster: Manifest) -> Iterator[tuple[str, int, Manifest]]:
    yield "head", 1, cluster["headGroupSpec"]["template"]["spec"]
    for group in cluster["workerGroupSpecs"]:
        yield group["groupName"], group["replicas"], group["template"]["spec"]


def _needs(pod: Manifest, count: int) -> Counter[str]:
    needs: Counter[str] = Counter()
    for container in pod["containers"]:
        for name, amount in container["resources"]["requests"].items():
            needs[name] += count * _amount(amount)
    return needs


def _amount(quantity: Any) -> Any:
    text = str(quantity)
    return gib(text) if text[-1] == "i" else float(text)


def _admits(flavor: Manifest | None, pod: Manifest) -> bool:
    """Whether a pod's required affinity allows nodes of a flavor; only keys of the flavor's labels count."""
    if flavor is None:
        return False
    labels = flavor["spec"].get("nodeLabels", {})
    required = pod.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = required.get("nodeSelectorTerms", [])
    return not terms or any(
        all(
            (labels[one["key"]] in one["values"]) is (one["operator"] == "In")
            for one in term["matchExpressions"]
            if one["key"] in labels
        )
        for term in terms
    )
