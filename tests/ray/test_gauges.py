"""Gauges of raydr's reach the port that Prometheus scrapes, beside Ray's own that the dashboard asks for."""

import re
import time
import urllib.request

import pytest
import ray

from raydr.training.gauges import SEARCH_GAUGES, TRAINING_GAUGES, Gauges

pytestmark = pytest.mark.ray


def test_gauges_are_where_prometheus_scrapes_them(ray_cluster):
    Gauges(TRAINING_GAUGES, "pretrain-1").show({"loss": 0.25, "images_per_s": 800.0, "data_wait": 0.5, "eta_s": 60.0})
    Gauges(SEARCH_GAUGES, "search-1").show({"running": 2.0, "done": 1.0, "failed": 0.0, "best_auc": 0.75})
    (node,) = [node for node in ray.nodes() if node["Alive"]]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    wanted = {
        "ray_raydr_loss": 0.25,
        "ray_raydr_images_per_second": 800.0,
        "ray_raydr_data_wait_share": 0.5,
        "ray_raydr_seconds_left": 60.0,
        "ray_raydr_trials_running": 2.0,
        "ray_raydr_trials_done": 1.0,
        "ray_raydr_trials_failed": 0.0,
        "ray_raydr_best_validation_auc": 0.75,
    }
    give_up, found, names = time.monotonic() + 60, {}, set()
    while found != wanted and time.monotonic() < give_up:
        time.sleep(1)
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        lines = re.findall(r'^(ray_raydr_\w+)\{[^}]*run="(?:pretrain|search)-1"[^}]*\} (\S+)$', text, re.MULTILINE)
        found = {name: float(value) for name, value in lines}
        names = set(re.findall(r"^(ray_\w+)\{", text, re.MULTILINE))
    assert found == wanted
    assert {"ray_node_cpu_utilization", "ray_node_cpu_count", "ray_object_store_memory"} <= names
