"""Nodes without a GPU feed those with one."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def found():
    """What labelled_cluster.py saw: a cluster of several nodes cannot be started beside that of the other tests."""
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("RAY_ADDRESS", None)
    program = Path(__file__).with_name("labelled_cluster.py")
    done = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_only_the_labelled_node_decodes_and_trainers_keep_off_it(found):
    assert found["decoders"] == [found["nodes"]["cpu"]]
    assert set(found["trainers"]) == {found["nodes"]["gpu"]}
    assert found["batches"] == [4, 4]


def test_a_training_that_would_wait_for_a_labelled_node_is_refused(found):
    assert found["refusals"] == {
        "none": None,
        "label": "cluster.decode_label: no node of the cluster has the label tier=spot and 1 CPUs; label one, lower "
        "decode_cpus, or set cluster.autoscaling",
        "cpus": "cluster.decode_label: no node of the cluster has the label tier=cpu and 3 CPUs; label one, lower "
        "decode_cpus, or set cluster.autoscaling",
        "workers": "cluster.num_workers: 2 workers of 2 CPUs do not fit the 3 of the nodes without the label tier=cpu, "
        "which only decode; lower num_workers or cpus_per_worker, or set cluster.autoscaling",
    }


def test_every_node_says_what_it_runs_and_that_it_reaches_storage_also_one_that_has_no_cpu(found):
    assert sorted(node for node, *_ in found["reports"]) == sorted(found["ids"])
    assert [said for _, *said in found["reports"]] == [["", "", True]] * 3
