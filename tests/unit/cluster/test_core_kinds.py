"""Namespace, policies, MLflow and PostgreSQL: Kubernetes' own schemas, strictly, and our rules; errors are caught."""

import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
from cluster_files import CLUSTER, Manifest, documents, plant
from pod_rules import IMAGES, broken_pod_rules

from raydr.config.load import read_toml

KUBERNETES = "1.34"
SECRETS = {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_FLASK_SERVER_SECRET_KEY"}
FILES = ["kuberay/namespace", "mlflow/mlflow", "mlflow/postgres"]
MANIFESTS = [
    pytest.param(document, id=f"{name}-{document['kind']}")
    for name in FILES
    for document in documents(CLUSTER / f"{name}.yaml")
]


def document_of(name: str, kind: str) -> Manifest:
    return next(one for one in documents(CLUSTER / f"{name}.yaml") if one["kind"] == kind)


def check(manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_fits_kubernetes_schema_and_is_in_the_namespace(manifest: Manifest) -> None:
    check(manifest)
    assert manifest["kind"] == "Namespace" or manifest["metadata"]["namespace"] == "raydr"
    assert manifest["kind"] != "Secret"


@pytest.mark.parametrize(
    ("name", "kind", "path", "value"),
    [
        ("mlflow/mlflow", "Deployment", "spec/template/spec/containers/0/img", "x"),
        ("mlflow/mlflow", "Deployment", "spec/selector", None),
        ("mlflow/mlflow", "Deployment", "spec/replicas", "one"),
        ("mlflow/mlflow", "Service", "spec/ports/0/port", None),
        ("mlflow/postgres", "StatefulSet", "spec/volumeClaimTemplate", []),
        ("kuberay/namespace", "NetworkPolicy", "spec/ingress/0/froms", []),
        ("kuberay/namespace", "PodDisruptionBudget", "spec/maxUnavailabel", 0),
    ],
)
def test_the_schema_catches_a_planted_error(name: str, kind: str, path: str, value: Any) -> None:
    manifest = document_of(name, kind)
    plant(manifest, path, value)
    with pytest.raises(kubernetes_validate.ValidationError):
        check(manifest)


def broken_server_rules(deployment: Manifest) -> list[str]:
    """Which of our rules MLflow's server breaks."""
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    arguments = dict(argument.removeprefix("--").split("=", 1) for argument in container["args"])
    host = re.sub("https?://", "", read_toml(CLUSTER / "kuberay.toml")["tracking"]["uri"])
    secret = {variable["name"] for variable in container["env"] if "valueFrom" in variable}
    rules = {
        "the image names MLflow's version": container["image"] == IMAGES["mlflow"],
        "user and password": arguments.get("app-name") == "basic-auth",
        "jobs reach it by a name that it answers to": host in arguments.get("allowed-hosts", "").split(","),
        "it answers to no other name": "*" not in arguments.get("allowed-hosts", "*").split(","),
        "models are in the object store": arguments.get("artifacts-destination", "")[:5] in ("s3://", "gs://"),
        "the database's password is in a Secret": secret >= SECRETS,
    }
    return [rule for rule, holds in rules.items() if not holds] + [*broken_pod_rules("mlflow", pod)]


def test_the_mlflow_server_keeps_our_rules() -> None:
    assert broken_server_rules(document_of("mlflow/mlflow", "Deployment")) == []


BOX = "spec/template/spec/containers/0"


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        (f"{BOX}/image", "raydr:0.1.0-mlflow3.16.0", "the image names MLflow's version"),
        (f"{BOX}/args/0", "--host=0.0.0.0", "user and password"),
        (f"{BOX}/args/5", "--allowed-hosts=*", "it answers to no other name"),
        (f"{BOX}/args/5", "--allowed-hosts=mlflow", "jobs reach it by a name that it answers to"),
        (f"{BOX}/args/4", "--artifacts-destination=/data", "models are in the object store"),
        (f"{BOX}/env/2", {"name": "MLFLOW_BACKEND_STORE_URI", "value": "x"}, "the database's password is in a Secret"),
        ("spec/template/spec/enableServiceLinks", None, "mlflow: no variables named after services"),
        (f"{BOX}/securityContext", {}, "mlflow: restricted container"),
    ],
)
def test_our_rules_catch_a_planted_error(path: str, value: Any, rule: str) -> None:
    deployment = document_of("mlflow/mlflow", "Deployment")
    plant(deployment, path, value)
    assert rule in broken_server_rules(deployment)


def test_the_database_is_restricted_pinned_and_keeps_its_password_in_a_secret() -> None:
    pod = document_of("mlflow/postgres", "StatefulSet")["spec"]["template"]["spec"]
    assert [*broken_pod_rules("postgres", pod)] == []
    assert re.fullmatch(r"postgres:\d+", pod["containers"][0]["image"])


def _match_labels(part: Any) -> Iterator[dict[str, str]]:
    """All labels that something is selected by, wherever they stand."""
    if isinstance(part, dict):
        if "matchLabels" in part:
            yield part["matchLabels"]
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from _match_labels(one)


def test_policies_are_about_pods_that_there_are() -> None:
    servers = {
        name: document_of(f"mlflow/{name}", kind)["spec"]["template"]["metadata"]["labels"]
        for name, kind in (("mlflow", "Deployment"), ("postgres", "StatefulSet"))
    }
    # KubeRay's own labels, in ray-operator/controllers/ray/utils/constant.go at v1.7.0.
    kuberay = {"ray.io/is-ray-node": "yes"}, {"ray.io/node-type": "head"}
    known = [*kuberay, *servers.values()]
    for name in FILES:
        for document in documents(CLUSTER / f"{name}.yaml"):
            for wanted in _match_labels(document):
                assert wanted in known or set(wanted) == {"kubernetes.io/metadata.name"}, wanted
    for name, labels in servers.items():
        assert document_of(f"mlflow/{name}", "Service")["spec"]["selector"] == labels
        assert document_of(f"mlflow/{name}", "NetworkPolicy")["spec"]["podSelector"] == {"matchLabels": labels}
