"""The KubeRay manifests: KubeRay's own schema, strictly, and our rules; planted errors are caught by either."""

from typing import Any

import pytest
from cluster_files import CLUSTER, Manifest, documents, plant
from crd_schema import faults_by_crds
from ray_rules import broken_rules

FILES = {"RayJob": ["rayjob", "rayjob-cpu", "rayjob-gpu"], "RayCluster": ["raycluster"]}
ALL = [(kind, name) for kind, names in FILES.items() for name in names]


@pytest.fixture(scope="module")
def faults() -> Any:
    """What KubeRay's schema has against a manifest."""
    return faults_by_crds("kuberay-1.7.0", {kind: f"ray.io_{kind.lower()}s.yaml.gz" for kind in FILES}, "v1")


@pytest.fixture(autouse=True)
def _only_what_the_manifest_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def manifest_of(name: str) -> Manifest:
    (manifest,) = documents(CLUSTER / "kuberay" / f"{name}.yaml")
    return manifest


def test_every_manifest_is_looked_at() -> None:
    found = {path.stem for path in (CLUSTER / "kuberay").glob("*.yaml")}
    assert found == {name for _, name in ALL} | {"namespace", "kueue"}


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_manifest_fits_the_operators_schema(faults: Any, kind: str, name: str) -> None:
    manifest = manifest_of(name)
    assert manifest["kind"] == kind
    assert faults(manifest) == []


@pytest.mark.parametrize("name", [name for _, name in ALL])
def test_a_manifest_keeps_our_rules(name: str) -> None:
    assert broken_rules(manifest_of(name)) == []


RAY = "spec/rayClusterSpec"
HEAD, GPU, DECODE = f"{RAY}/headGroupSpec", f"{RAY}/workerGroupSpecs/0", f"{RAY}/workerGroupSpecs/1"
GPU_POD, GPU_BOX = f"{GPU}/template/spec", f"{GPU}/template/spec/containers/0"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{RAY}/autoscalerOptions/idleTimeoutSecs", 3),
        (f"{RAY}/enableInTreeAutoscaler", True),
        (f"{RAY}/autoscalerOptions/version", "v3"),
        ("spec/backoffLimit", "two"),
        (f"{GPU}/replica", 1),
        (f"{GPU}/groupName", None),
        (f"{GPU_BOX}/img", "x"),
        (f"{GPU_POD}/tolerations/0/effects", "NoSchedule"),
        (f"{GPU_POD}/affinity/nodeAffinity/required", []),
        (f"{HEAD}/rayStartParams/num-cpus", 0),
    ],
)
def test_the_schema_catches_a_planted_error(faults: Any, path: str, value: Any) -> None:
    manifest = manifest_of("rayjob")
    plant(manifest, path, value)
    assert faults(manifest)


VERB = "python -m raydr run --config /home/ray/raydr/jobs/run.toml"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
OLD_RAY = "raydr:0.1.0-ray2.59.0-cuda"
IMAGE = "the image names raydr's and Ray's version and what it is for"
PLANTED = [
    (f"{RAY}/rayVersion", "2.59.0", "rayVersion is the pin"),
    (f"{RAY}/authOptions", None, "token authentication, the token in a Secret"),
    (f"{RAY}/authOptions/mode", "disabled", "token authentication, the token in a Secret"),
    (f"{RAY}/autoscalerOptions/version", "v1", "autoscaler v2"),
    (f"{RAY}/autoscalerOptions/securityContext", None, "the autoscaler's container is restricted"),
    (f"{HEAD}/rayStartParams/num-cpus", "4", "the head does no work"),
    (f"{HEAD}/template/spec/affinity", None, "the head is never on spot"),
    ("metadata/namespace", "default", "the namespace is raydr"),
    ("spec/ttlSecondsAfterFinished", None, "a TTL"),
    ("spec/activeDeadlineSeconds", None, "a deadline"),
    ("spec/backoffLimit", 0, "tried again"),
    ("spec/submissionMode", "SidecarMode", "no container beside Ray's"),
    ("spec/entrypoint", VERB.replace(" run ", " train "), "the entrypoint is a verb whose files are valid"),
    ("spec/entrypoint", VERB.replace("run.toml", "none.toml"), "the entrypoint is a verb whose files are valid"),
    ("spec/entrypoint", VERB.replace("run.toml", "search.toml"), "the entrypoint is a verb whose files are valid"),
    ("spec/entrypoint", f"{VERB} --set tracking.url=x", "the entrypoint is a verb whose files are valid"),
    ("spec/entrypoint", VERB, "the settings know whether the cluster grows"),
    ("spec/entrypoint", VERB, "runs are kept by cluster/mlflow"),
    ("spec/entrypoint", f"{VERB} --set tracking.uri=http://mlflow:5001", "runs are kept by cluster/mlflow"),
    (f"{GPU}/maxReplicas", 0, "gpu-spot: min <= replicas <= max"),
    (f"{GPU}/replicas", 17, "gpu-spot: min <= replicas <= max"),
    (f"{GPU}/minReplicas", 1, "gpu-spot: min <= replicas <= max"),
    (f"{GPU_POD}/tolerations", [], "gpu-spot: GPU pods tolerate the GPU taint"),
    (f"{GPU_POD}/affinity/nodeAffinity/{REQUIRED}/nodeSelectorTerms/0", None, "gpu-spot: spot on all three"),
    (f"{GPU_POD}/automountServiceAccountToken", None, "gpu-spot: workers do not speak to Kubernetes"),
    (f"{GPU_POD}/terminationGracePeriodSeconds", 30, "gpu-spot: a training has time to save before the pod is gone"),
    (f"{GPU_BOX}/lifecycle", None, "gpu-spot: a training has time to save before the pod is gone"),
    (f"{GPU_POD}/volumes/0/emptyDir/sizeLimit", "8Gi", "gpu-spot: shared memory holds the object store"),
    (f"{GPU_POD}/volumes/1/name", "other", "gpu-spot: every mount has a volume"),
    (f"{GPU_POD}/securityContext", {"runAsNonRoot": False}, "gpu-spot: non-root, with the runtime's seccomp profile"),
    (f"{GPU_POD}/enableServiceLinks", None, "gpu-spot: no variables named after services"),
    (f"{GPU_BOX}/image", "raydr:latest", f"gpu-spot: {IMAGE}"),
    (f"{GPU_BOX}/image", "raydr", f"gpu-spot: {IMAGE}"),
    (f"{GPU_BOX}/image", OLD_RAY, f"gpu-spot: {IMAGE}"),
    (f"{GPU_BOX}/image", "raydr:0.1.0-ray2.60.0-cpu", f"gpu-spot: {IMAGE}"),
    (f"{GPU_BOX}/resources/requests", {"cpu": "1"}, "gpu-spot: requests equal limits"),
    (f"{GPU_BOX}/securityContext/readOnlyRootFilesystem", False, "gpu-spot: restricted container"),
    (f"{GPU_BOX}/env/0", {"name": "MLFLOW_TRACKING_PASSWORD", "value": "x"}, "gpu-spot: secrets by reference"),
    (f"{GPU_BOX}/envFrom", None, "gpu-spot: credentials from a Secret"),
    (f"{GPU_BOX}/ports", [], "gpu-spot: Prometheus finds it"),
    (f"{DECODE}/labels", {"tier": "decode"}, "decode: the label says what it is for"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "rule"), PLANTED)
def test_our_rules_catch_a_planted_error(path: str, value: Any, rule: str) -> None:
    manifest = manifest_of("rayjob")
    plant(manifest, path, value)
    assert rule in broken_rules(manifest)


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("metadata/labels", {}, "what cannot grow starts as a whole"),
        (f"{GPU}/minReplicas", 0, "gpu: of fixed size without an autoscaler"),
        ("spec/entrypoint", f"{VERB} --config /home/ray/raydr/cluster/kuberay.toml", "the job fits the cluster"),
        (
            f"{HEAD}/template/spec/automountServiceAccountToken",
            True,
            "only an autoscaler's head may speak to Kubernetes",
        ),
    ],
)
def test_our_rules_catch_a_planted_error_in_a_cluster_of_fixed_size(path: str, value: Any, rule: str) -> None:
    manifest = manifest_of("rayjob-gpu")
    plant(manifest, path, value)
    assert rule in broken_rules(manifest)


def test_a_job_larger_than_its_cluster_is_caught() -> None:
    manifest = manifest_of("rayjob-gpu")
    for kind in ("requests", "limits"):
        plant(manifest, f"{GPU_BOX}/resources/{kind}", {"cpu": "90", "memory": "700Gi", "nvidia.com/gpu": "4"})
    assert broken_rules(manifest) == ["the job fits the cluster"]
