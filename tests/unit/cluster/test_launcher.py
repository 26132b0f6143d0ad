"""The launcher's files: Ray's own schema and checks, and our rules; planted errors are caught by either."""

import copy
import re
from typing import Any

import jsonschema
import pytest
import yaml
from cluster_files import CLUSTER, Manifest, documents, in_repository, plant
from pod_rules import IMAGES
from ray.autoscaler._private.util import prepare_config, validate_config

from raydr.config.load import read_toml

CLOUDS = ["aws", "gcp"]
SPOT = {"provisioningModel": "SPOT"}
TOKEN, PASSWORD = "/home/ray/.ray/auth_token", "/home/ray/.mlflow/credentials"


def cluster_of(cloud: str) -> Manifest:
    (cluster,) = documents(CLUSTER / f"{cloud}.yaml")
    return cluster


def check(cluster: Manifest) -> None:
    """As `ray up` does before it talks to a cloud."""
    validate_config(prepare_config(copy.deepcopy(cluster)))


def broken_rules(cluster: Manifest, cloud: str) -> list[str]:
    nodes = cluster["available_node_types"]
    head, workers = nodes[cluster["head_node_type"]], {k: v for k, v in nodes.items() if k != cluster["head_node_type"]}
    docker = cluster["docker"]
    label = read_toml(CLUSTER / f"{cloud}.toml")["cluster"]["decode_label"]
    starts = {"head": cluster["head_start_ray_commands"], "worker": cluster["worker_start_ray_commands"]}
    notices = [command.split() for command in starts["worker"] if "spot_notice.sh" in command]
    rules = {
        "token authentication": "--env RAY_AUTH_MODE=token" in docker["run_options"]
        and cluster.get("file_mounts", {}).get(TOKEN) == "~/.ray/auth_token",
        "MLflow's password comes over SSH": cluster.get("file_mounts", {}).get(PASSWORD) == "~/.mlflow/credentials",
        "the image names raydr's and Ray's version": docker["image"] == IMAGES["cpu"],
        "the head does no work": head["resources"] == {"CPU": 0},
        "the head is never on spot": not _is_spot(head),
        "workers are on spot": all(_is_spot(node) for node in workers.values()),
        "min <= max": all(0 <= node["min_workers"] <= node["max_workers"] for node in workers.values()),
        "there is room for all": cluster["max_workers"] == sum(node["max_workers"] for node in workers.values()),
        "idle nodes go": cluster.get("idle_timeout_minutes", 0) > 0,
        "the label says what a node is for": all(
            node.get("labels") == {"tier": "gpu" if node["resources"].get("GPU") else "cpu"}
            for node in workers.values()
        ),
        "something decodes": any(f"tier={node.get('labels', {}).get('tier')}" == label for node in workers.values()),
        "GPU nodes have the CUDA image": all(
            node.get("docker", {}).get("worker_image", docker["image"])
            == IMAGES["cuda" if node["resources"].get("GPU") else "cpu"]
            for node in workers.values()
        ),
        "nothing but SSH from outside": "dashboard-host=127.0.0.1" in " ".join(starts["head"])
        and not re.search(r"(?<![\d.])0\.0\.0\.0", yaml.safe_dump(cluster)),
        "Prometheus finds it": all("--metrics-export-port=8080" in " ".join(commands) for commands in starts.values()),
        "notices are listened for": len(notices) == 1
        and notices[0][3] == cloud
        and in_repository(notices[0][2]).is_file(),
    }
    return [rule for rule, holds in rules.items() if not holds]


def _is_spot(node: Manifest) -> bool:
    config = node["node_config"]
    return (
        config.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        or config.get("scheduling", {}).get("provisioningModel") == "SPOT"
    )


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_launcher_file_is_what_ray_accepts_and_keeps_our_rules(cloud: str) -> None:
    cluster = cluster_of(cloud)
    check(cluster)
    assert broken_rules(cluster, cloud) == []


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("idle_timeout_mins", 5),
        ("max_workers", "many"),
        ("head_node_type", "none"),
        ("docker/imag", "x"),
        ("available_node_types/decode/label", {}),
        ("available_node_types/decode/resources/CPU", "32"),
        ("available_node_types/decode/node_config", None),
    ],
)
def test_ray_refuses_a_planted_error(cloud: str, path: str, value: Any) -> None:
    cluster = cluster_of(cloud)
    plant(cluster, path, value)
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        check(cluster)


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("docker/run_options", ["--env RAY_AUTH_MODE=disabled"], "token authentication"),
        (f"file_mounts/{TOKEN.replace('/', '|')}", None, "token authentication"),
        ("docker/image", "raydr:latest", "the image names raydr's and Ray's version"),
        ("docker/image", "raydr:0.1.0-ray2.59.0-cpu", "the image names raydr's and Ray's version"),
        ("available_node_types/head/resources/CPU", 8, "the head does no work"),
        ("available_node_types/head/node_config/scheduling", SPOT, "the head is never on spot"),
        ("available_node_types/decode/min_workers", 33, "min <= max"),
        ("available_node_types/decode/max_workers", 8, "there is room for all"),
        ("available_node_types/decode/labels", {"tier": "gpu"}, "something decodes"),
        ("available_node_types/gpu_spot/docker", None, "GPU nodes have the CUDA image"),
        ("available_node_types/gpu_spot/node_config", {}, "workers are on spot"),
        ("idle_timeout_minutes", None, "idle nodes go"),
        ("provider/security_group", {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, "nothing but SSH from outside"),
        ("head_start_ray_commands/1", "ray start --head --dashboard-host=0.0.0.0", "nothing but SSH from outside"),
        ("worker_start_ray_commands/2", "true", "notices are listened for"),
    ],
)  # fmt: skip
def test_our_rules_catch_a_planted_error(cloud: str, path: str, value: Any, rule: str) -> None:
    cluster = cluster_of(cloud)
    if "|" in path:
        del cluster["file_mounts"][TOKEN]
    else:
        plant(cluster, path, value)
    assert rule in broken_rules(cluster, cloud)
