"""Every file in jobs/ and cluster/ is valid, checked without a cluster."""

import gzip
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from raydr.config.jobs import JOBS
from raydr.config.load import load

ROOT = Path(__file__).parents[2]
CRDS = ROOT.parent / "shared" / "schemas" / "kuberay-1.7.0"
RAYJOB = ROOT / "cluster" / "kuberay" / "rayjob.yaml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

Manifest = dict[str, Any]


def _ray_pin() -> str:
    (pin,) = [re.sub(r"^ray\[.*\]==", "", line) for line in PROJECT["dependencies"] if line.startswith("ray[")]
    return pin


def test_config_check_accepts_every_file_and_every_verb_has_one() -> None:
    command = [sys.executable, "-m", "raydr", "config", "check", "jobs", "cluster"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = set(done.stdout.splitlines())
    assert {f"ok jobs/{verb}.toml {verb}" for verb in JOBS} <= lines
    assert {f"ok jobs/{name}.toml run" for name in ("demo", "smoke", "eyepacs_small")} <= lines
    assert "ok cluster/local.toml overlay" in lines
    files = [*(ROOT / "jobs").rglob("*.toml"), *(ROOT / "cluster").rglob("*.toml")]
    assert len(lines) == len(files)


@pytest.mark.parametrize("file", sorted((ROOT / "jobs").glob("*.toml")), ids=lambda file: file.stem)
def test_a_job_file_opens_with_a_lab_notebook(file: Path) -> None:
    notebook = ""
    for line in file.read_text().splitlines():
        if not line.startswith("#"):
            break
        notebook += line + "\n"
    assert re.search(rf"raydr \w+ (--config jobs/{file.name}|--model)", notebook), "the command"
    for word in ("Hardware", "Hours|Minutes|second"):
        assert re.search(word, notebook), word


@pytest.mark.parametrize("verb", JOBS)
def test_the_local_overlay_fits_every_job(verb: str) -> None:
    settings = load(verb, [ROOT / "jobs" / f"{verb}.toml", ROOT / "cluster" / "local.toml"])
    assert settings.cluster.gpus_per_worker == 0
    assert settings.cluster.local_cpus is not None
    # Workers that reserve every CPU leave none for decoding, and Ray then waits without a word.
    taken = settings.cluster.num_workers * settings.cluster.cpus_per_worker + settings.cluster.decode_cpus
    assert taken <= settings.cluster.local_cpus


def test_the_demo_is_what_a_laptop_can_do() -> None:
    demo = load("run", [ROOT / "jobs" / "demo.toml"])
    assert demo.out == "runs/demo"
    assert demo.search.trials >= 4  # type: ignore[attr-defined]
    assert demo.index.budget.fraction == pytest.approx(0.10)  # type: ignore[attr-defined]
    assert {source.role for source in demo.index.sources.values()} == {"internal", "external"}  # type: ignore[attr-defined]
    assert demo.cluster.gpus_per_worker == 0


def test_the_small_eyepacs_job_uses_two_percent_and_makes_the_cameras_alike() -> None:
    job = load("run", [ROOT / "jobs" / "eyepacs_small.toml"])
    assert job.index.budget.fraction == pytest.approx(0.02)  # type: ignore[attr-defined]
    assert job.preprocess.enhance == "equalize"  # type: ignore[attr-defined]
    assert job.index.sources["external"].role == "external"  # type: ignore[attr-defined]


def test_the_runtime_environment_carries_code_only() -> None:
    from ray.runtime_env import RuntimeEnv

    environment = yaml.safe_load((ROOT / "cluster" / "runtime_env.yaml").read_text())
    RuntimeEnv(**environment)  # raises where a field or a value is none of Ray's
    assert set(environment) == {"excludes", "env_vars"}
    for name in ("/.git/", "/.venv/", "/runs/", "/tests/"):
        assert name in environment["excludes"]
    assert all(isinstance(value, str) for value in environment["env_vars"].values())
    assert not [name for name in environment["env_vars"] if re.search("TOKEN|SECRET|PASSWORD|KEY", name)]


# ── the RayJob ──


def _strict(schema: Any) -> Any:
    """A CRD's schema that refuses unknown fields, as `kubectl apply --validate=strict` does."""
    if isinstance(schema, list):
        return [_strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: _strict(value) for key, value in schema.items()}
    if "properties" in made and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if schema.get("nullable") and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    if not CRDS.is_dir():
        pytest.skip(f"KubeRay's CRDs are not on this machine ({CRDS.name} beside the repository)")
    text = gzip.decompress((CRDS / "ray.io_rayjobs.yaml.gz").read_bytes())
    crd = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = [version for version in crd["spec"]["versions"] if version["name"] == "v1"]
    schema = _strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def rayjob() -> Manifest:
    (manifest,) = list(yaml.safe_load_all(RAYJOB.read_text()))
    return dict(json.loads(json.dumps(manifest)))  # YAML's anchors are shared objects: a planted error must not spread


def broken_rules(job: Manifest) -> list[str]:
    """Which of our own rules a RayJob breaks, beyond the shape that the CRD prescribes."""
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    broken = [
        rule
        for rule, holds in {
            "apiVersion is ray.io/v1": job["apiVersion"] == "ray.io/v1",
            "rayVersion is the pin": cluster.get("rayVersion") == _ray_pin(),
            "token authentication": cluster.get("authOptions", {}).get("mode") == "token",
            "the cluster goes when the job is done": spec.get("shutdownAfterJobFinishes") is True,
            "a TTL": spec.get("ttlSecondsAfterFinished", 0) > 0,
            "a deadline": spec.get("activeDeadlineSeconds", 0) > 0,
            "the entrypoint is a verb": _is_verb(spec["entrypoint"]),
            "the head does no work": cluster["headGroupSpec"]["rayStartParams"].get("num-cpus") == "0",
            "a submission mode of KubeRay's": spec.get("submissionMode") in ("K8sJobMode", "HTTPMode", "SidecarMode"),
            "autoscaler v2": cluster.get("autoscalerOptions", {}).get("version") == "v2",
        }.items()
        if not holds
    ]
    broken += [
        f"{group['groupName']}: min <= replicas <= max"
        for group in cluster["workerGroupSpecs"]
        if not 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    ]
    return [*broken, *_broken_pods(cluster)]


def _is_verb(entrypoint: str) -> bool:
    words = entrypoint.split()
    file = ROOT / words[words.index("--config") + 1]
    return words[:3] == ["python", "-m", "raydr"] and words[3] in JOBS and file.is_file()


def _broken_pods(cluster: Manifest) -> Iterator[str]:
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        name, pod = group.get("groupName", "head"), group["template"]["spec"]
        if pod.get("securityContext", {}).get("runAsNonRoot") is not True:
            yield f"{name}: non-root"
        for container in pod["containers"]:
            image = container["image"]
            tag = image.rpartition(":")[2] if ":" in image.rpartition("/")[2] else "latest"
            if tag == "latest":
                yield f"{name}: no latest tag"
            elif f"ray{_ray_pin()}" not in tag or not tag.startswith(PROJECT["version"]):
                yield f"{name}: the tag names raydr's and Ray's version"
            resources = container["resources"]
            if resources.get("requests") != resources.get("limits"):
                yield f"{name}: requests equal limits"
            if "nvidia.com/gpu" in resources["limits"] and not pod.get("tolerations"):
                yield f"{name}: GPU pods tolerate the GPU taint"
            if container.get("securityContext", {}).get("allowPrivilegeEscalation") is not False:
                yield f"{name}: no privilege escalation"


def test_the_rayjob_fits_the_operators_schema(validator: jsonschema.Draft202012Validator, rayjob: Manifest) -> None:
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(rayjob)] == []


def test_the_rayjob_keeps_our_rules(rayjob: Manifest) -> None:
    assert broken_rules(rayjob) == []


def _set(manifest: Manifest, path: str, value: Any) -> None:
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    here: Any = manifest
    for part in way:
        here = here[part]
    if value is None:
        del here[last]
    else:
        here[last] = value


CLUSTER = "spec/rayClusterSpec"
GPU = f"{CLUSTER}/workerGroupSpecs/0"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{CLUSTER}/autoscalerOptions/idleTimeoutSecs", 3),
        (f"{CLUSTER}/enableInTreeAutoscaler", True),
        (f"{CLUSTER}/autoscalerOptions/version", "v3"),
        ("spec/backoffLimit", "two"),
        (f"{GPU}/replica", 1),
        (f"{GPU}/groupName", None),
        (f"{GPU}/template/spec/containers/0/img", "x"),
        (f"{GPU}/template/spec/tolerations/0/effects", "NoSchedule"),
        (f"{CLUSTER}/headGroupSpec/rayStartParams/num-cpus", 0),
    ],
)
def test_the_schema_catches_a_planted_error(
    validator: jsonschema.Draft202012Validator, rayjob: Manifest, path: str, value: Any
) -> None:
    _set(rayjob, path, value)
    assert list(validator.iter_errors(rayjob))


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        (f"{CLUSTER}/rayVersion", "2.59.0", "rayVersion is the pin"),
        (f"{CLUSTER}/authOptions", None, "token authentication"),
        (f"{CLUSTER}/headGroupSpec/rayStartParams/num-cpus", "4", "the head does no work"),
        ("spec/ttlSecondsAfterFinished", None, "a TTL"),
        ("spec/submissionMode", "Sidecar", "a submission mode of KubeRay's"),
        ("spec/entrypoint", "python -m raydr train --config jobs/run.toml", "the entrypoint is a verb"),
        ("spec/entrypoint", "python -m raydr run --config jobs/none.toml", "the entrypoint is a verb"),
        (f"{GPU}/replicas", 9, "gpu: min <= replicas <= max"),
        (f"{GPU}/minReplicas", 1, "gpu: min <= replicas <= max"),
        (f"{GPU}/template/spec/tolerations", None, "gpu: GPU pods tolerate the GPU taint"),
        (f"{GPU}/template/spec/containers/0/image", "raydr:latest", "gpu: no latest tag"),
        (f"{GPU}/template/spec/containers/0/image", "host:5000/raydr", "gpu: no latest tag"),
        (
            f"{GPU}/template/spec/containers/0/image",
            "raydr:0.1.0-ray2.59.0",
            "gpu: the tag names raydr's and Ray's version",
        ),
        (f"{GPU}/template/spec/securityContext", {"runAsNonRoot": False}, "gpu: non-root"),
        (f"{GPU}/template/spec/containers/0/resources/requests", {"cpu": "1"}, "gpu: requests equal limits"),
    ],
)
def test_our_rules_catch_a_planted_error(rayjob: Manifest, path: str, value: Any, rule: str) -> None:
    _set(rayjob, path, value)
    assert broken_rules(rayjob) == [rule]
