"""Kueue's objects: its own schema, strictly, and our rules for the jobs that are queued; planted errors are caught."""

import copy
from typing import Any

import pytest
from cluster_files import CLUSTER, Manifest, documents, plant
from crd_schema import faults_by_crds
from kueue_rules import broken_queue_rules, queued_clusters

KINDS = ["ResourceFlavor", "ResourceFlavor", "ClusterQueue", "LocalQueue"]
ON_DEMAND, SPOT, CLUSTER_QUEUE, LOCAL_QUEUE = range(4)


def objects() -> list[Manifest]:
    return documents(CLUSTER / "kuberay" / "kueue.yaml")


def queued(name: str = "") -> list[Manifest]:
    return [job for job in queued_clusters() if job["metadata"]["name"] == name or not name]


@pytest.fixture(scope="module")
def faults() -> Any:
    """What Kueue's schema has against a manifest."""
    files = {kind: f"kueue.x-k8s.io_{kind.lower()}s.yaml.gz" for kind in KINDS}
    return faults_by_crds("kueue-0.19.2", files, "v1beta2")


def test_there_is_what_is_checked() -> None:
    assert [one["kind"] for one in objects()] == KINDS
    assert {one["apiVersion"] for one in objects()} == {"kueue.x-k8s.io/v1beta2"}
    assert {job["metadata"]["name"] for job in queued()} == {"raydr-run-gpu", "raydr-prepare"}


def test_the_objects_fit_kueues_schema(faults: Any) -> None:
    assert [fault for one in objects() for fault in faults(one)] == []


@pytest.mark.parametrize(
    ("number", "path", "value"),
    [
        (ON_DEMAND, "spec/nodeLabel", {"a": "b"}),
        (SPOT, "spec/tolerations/0/effect", 3),
        (CLUSTER_QUEUE, "spec/queueingStrategy", "FIFO"),
        (CLUSTER_QUEUE, "spec/resourceGroups/0/flavors/0/resources/0/quota", 3),
        (CLUSTER_QUEUE, "spec/resourceGroups/0/coveredResources", None),
        (LOCAL_QUEUE, "spec/clusterqueue", "raydr"),
    ],
)
def test_the_schema_catches_a_planted_error(faults: Any, number: int, path: str, value: Any) -> None:
    manifest = objects()[number]
    plant(manifest, path, value)
    assert faults(manifest)


def test_the_objects_keep_our_rules() -> None:
    assert broken_queue_rules(objects(), queued()) == []


def test_all_queued_jobs_start_together() -> None:
    """The quotas are enough for all of them at once."""
    jobs = queued()
    whole = copy.deepcopy(jobs[0])
    for job in jobs[1:]:
        cluster = job["spec"]["rayClusterSpec"]
        head = {"groupName": "head", "replicas": 1, "template": cluster["headGroupSpec"]["template"]}
        whole["spec"]["rayClusterSpec"]["workerGroupSpecs"] += [head, *cluster["workerGroupSpecs"]]
    assert broken_queue_rules(objects(), [whole]) == []


GROUP = "spec/resourceGroups/0"
NO_GPUS = ["cpu", "memory"]
UNEVEN = "raydr: raydr-spot has a quota for all that is covered, in order"
ON_DEMANDS, SPOTS = f"{GROUP}/flavors/0", f"{GROUP}/flavors/1"
SPOT_LABEL = {"karpenter.sh/capacity-type": "spot"}


@pytest.mark.parametrize(
    ("number", "path", "value", "rule"),
    [
        (LOCAL_QUEUE, "metadata/name", "other", "raydr-run-gpu: its queue is one of its namespace"),
        (LOCAL_QUEUE, "metadata/namespace", "default", "raydr-prepare: its queue is one of its namespace"),
        (LOCAL_QUEUE, "spec/clusterQueue", "other", "raydr-run-gpu: its queue has a ClusterQueue"),
        (
            CLUSTER_QUEUE,
            "spec/namespaceSelector/matchLabels",
            {"kubernetes.io/metadata.name": "default"},
            "raydr-prepare: the ClusterQueue takes jobs of its namespace",
        ),
        (CLUSTER_QUEUE, f"{SPOTS}/name", "spot", "raydr: spot is a flavor that there is"),
        (CLUSTER_QUEUE, f"{SPOTS}/resources/2", None, UNEVEN),
        (CLUSTER_QUEUE, f"{SPOTS}/resources/2/nominalQuota", 7, "raydr-run-gpu: gpu: a flavor has room for it"),
        (CLUSTER_QUEUE, f"{SPOTS}/resources/1/nominalQuota", "600Gi", "raydr-run-gpu: gpu: a flavor has room for it"),
        (CLUSTER_QUEUE, f"{ON_DEMANDS}/resources/0/nominalQuota", 3, "raydr-prepare: head: a flavor has room for it"),
        (
            CLUSTER_QUEUE,
            f"{ON_DEMANDS}/resources/0/nominalQuota",
            100,
            "raydr-prepare: cpu: GPU pods on spot, the others on nodes that stay",
        ),
        (
            CLUSTER_QUEUE,
            f"{ON_DEMANDS}/resources",
            [
                {"name": "cpu", "nominalQuota": 128},
                {"name": "memory", "nominalQuota": "1000Gi"},
                {"name": "nvidia.com/gpu", "nominalQuota": 8},
            ],
            "raydr-run-gpu: gpu: GPU pods on spot, the others on nodes that stay",
        ),
        (CLUSTER_QUEUE, f"{GROUP}/coveredResources", NO_GPUS, "raydr-run-gpu: gpu: all that it asks for is covered"),
        (ON_DEMAND, "spec/nodeLabels", SPOT_LABEL, "raydr-run-gpu: head: a flavor has room for it"),
        (SPOT, "spec/nodeLabels", {"tier": "gpu"}, "raydr-spot: its label says whether nodes are spot"),
    ],
)  # fmt: skip
def test_our_rules_catch_a_planted_error(number: int, path: str, value: Any, rule: str) -> None:
    found = objects()
    plant(found[number], path, value)
    assert rule in broken_queue_rules(found, queued())


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("spec/rayClusterSpec/enableInTreeAutoscaling", True, "what grows is marked as elastic"),
        ("spec/shutdownAfterJobFinishes", False, "its cluster goes when it is done, and its quota with it"),
        ("metadata/labels", {"kueue.x-k8s.io/queue-name": "gpu"}, "its queue is one of its namespace"),
    ],
)
def test_our_rules_catch_a_planted_error_in_a_job(path: str, value: Any, rule: str) -> None:
    (job,) = queued("raydr-run-gpu")
    plant(job, path, value)
    assert f"raydr-run-gpu: {rule}" in broken_queue_rules(objects(), [job])
