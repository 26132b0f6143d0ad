"""What the dashboard asks for exists, and Prometheus scrapes the ports where it is."""

import json
import re
from pathlib import Path

import pytest
import ray
import yaml
from cluster_files import CLUSTER, documents
from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

from raydr.training.gauges import PREFIX, SEARCH_GAUGES, TRAINING_GAUGES

BOARD = CLUSTER / "monitoring" / "grafana_dashboard.json"
WORD = r"\b(?:ray|autoscaler)_\w+"
OWN = {PREFIX + name for name, _ in [*TRAINING_GAUGES.values(), *SEARCH_GAUGES.values()]}


@pytest.fixture(scope="module")
def rays_own() -> set[str]:
    """Metrics that Ray's own dashboards ask for, in the source of the installed Ray."""
    folder = Path(ray.__file__).parent / "dashboard" / "modules" / "metrics" / "dashboards"
    text = "".join(path.read_text() for path in folder.glob("*_panels.py"))
    return set(re.findall(rf"{WORD}(?=[{{\[])", text))


def asked_for(board: str) -> set[str]:
    """The metrics in a dashboard's panels and variables."""
    tree = json.loads(board)
    texts = [target["expr"] for panel in tree["panels"] for target in panel["targets"]]
    texts += [one["definition"] for one in tree["templating"]["list"] if "definition" in one]
    bare = [re.sub(r"\{[^}]*\}|, \w+\)$", "", text) for text in texts]  # without labels
    return {name for text in bare for name in re.findall(WORD, text)}


def test_the_dashboard_asks_only_for_what_ray_and_raydr_export(rays_own: set[str]) -> None:
    asked = asked_for(BOARD.read_text())
    assert asked - rays_own - OWN == set()
    assert asked >= OWN, "every gauge of raydr's is shown"
    assert {"ray_node_gpus_utilization", "autoscaler_active_nodes"} <= asked


@pytest.mark.parametrize("wrong", ["ray_raydr_lost", "ray_node_gpu_utilisation", "autoscaler_nodes"])
def test_a_metric_that_nobody_exports_is_caught(rays_own: set[str], wrong: str) -> None:
    board = BOARD.read_text().replace("max(ray_raydr_loss{", f"max({wrong}{{")
    assert asked_for(board) - rays_own - OWN == {wrong}


def test_every_panel_can_be_drawn() -> None:
    panels = json.loads(BOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    taken = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(taken)) == len(taken)
    for panel in panels:
        assert panel["targets"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")")
            assert target["datasource"]["uid"] == "${datasource}"


def test_prometheus_scrapes_the_ports_of_the_manifests_and_the_file_of_the_launcher() -> None:
    prometheus = yaml.safe_load((CLUSTER / "monitoring" / "prometheus.yaml").read_text())
    jobs = {job["job_name"]: job for job in prometheus["scrape_configs"]}
    (files,) = jobs["ray-launcher"]["file_sd_configs"]
    assert files["files"] == [f"/tmp/ray/{PROMETHEUS_SERVICE_DISCOVERY_FILE}"]
    rules = {rule["source_labels"][0]: rule for rule in jobs["ray-kubernetes"]["relabel_configs"]}
    wanted = rules["__meta_kubernetes_pod_container_port_name"]["regex"].split("|")
    (policy,) = [one for one in documents(CLUSTER / "kuberay/namespace.yaml") if one["kind"] == "NetworkPolicy"]
    allowed = {port["port"] for rule in policy["spec"]["ingress"] for port in rule.get("ports", [])}
    for name in ("raycluster", "rayjob", "rayjob-cpu", "rayjob-gpu"):
        (manifest,) = documents(CLUSTER / "kuberay" / f"{name}.yaml")
        cluster = manifest["spec"].get("rayClusterSpec", manifest["spec"])
        head, *workers = [
            {port["name"]: port["containerPort"] for port in group["template"]["spec"]["containers"][0]["ports"]}
            for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
        ]
        assert set(wanted) <= set(head)
        assert all("metrics" in ports for ports in workers)
        assert {head[port] for port in wanted} <= allowed
