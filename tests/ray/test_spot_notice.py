"""`cluster/spot_notice.sh` against a real Ray: what a pod's preStop hook does is known to Ray as a pre-emption."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.survival]

SCRIPT = Path(__file__).parents[2] / "cluster" / "spot_notice.sh"
DRAINING = """
import os
from ray._raylet import GcsClient
print(len(GcsClient(os.environ["RAY_ADDRESS"]).get_draining_nodes()))
"""
HOLD = """
import time
import ray
ray.init(log_to_driver=False)
task = ray.remote(lambda: time.sleep(60)).remote()
print("held", flush=True)
ray.get(task)
"""


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """What a pod of a cluster has: a head of one CPU, its address and token."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    folder = tempfile.mkdtemp(prefix="raydr-")
    made = kept | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=1"]
    command += ["--node-ip-address=127.0.0.1", f"--port={address.split(':')[1]}", "--include-dashboard=false"]
    command += [f"--temp-dir={folder}", "--object-store-memory=100000000"]
    head = subprocess.Popen(command, env=made, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield made | {"RAY_ADDRESS": address}
    finally:
        parent = psutil.Process(head.pid)
        family = [*parent.children(recursive=True), parent]
        for process in family:
            process.terminate()
        for process in psutil.wait_procs(family, timeout=3)[1]:
            process.kill()
        head.wait(timeout=10)
        shutil.rmtree(folder, ignore_errors=True)


def draining(environment: dict[str, str]) -> str:
    """How many nodes Ray knows to be on their way out, as text; empty where there is no Ray yet."""
    done = subprocess.run(
        [sys.executable, "-c", DRAINING], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.strip()


def test_a_pod_that_is_deleted_is_announced_as_a_preemption(environment):
    give_up = time.monotonic() + 60
    while draining(environment) != "0":
        assert time.monotonic() < give_up
        time.sleep(1)
    # A task keeps the node from ending at once, as a training would.
    with subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdout=subprocess.PIPE, text=True) as busy:
        assert busy.stdout is not None
        assert busy.stdout.readline() == "held\n"
        time.sleep(3)
        done = subprocess.run(
            [SCRIPT, "now", "1"], env=environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stderr
        assert draining(environment) == "1"
        busy.kill()
