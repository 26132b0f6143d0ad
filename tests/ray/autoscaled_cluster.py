"""A Ray cluster that grows and shrinks on this machine: Ray's autoscaler v2 over nodes that are processes.

Ray's own `AutoscalingCluster` lacks a file in the wheel and begins by ending every other Ray on the machine.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import sessions
from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider
from ray.autoscaler.tags import TAG_RAY_USER_NODE_TYPE

HEAD_ID, HEAD = "f" * 51 + "00000", "ray.head.default"  # names that the fake provider knows
STORE_BYTES = 100 * 2**20
IDLE_S = 4.0
NODE_TYPES = {
    "gpu": {"resources": {"CPU": 2, "GPU": 1}, "labels": {"tier": "gpu"}, "max_workers": 2},
    "decode": {"resources": {"CPU": 2}, "labels": {"tier": "cpu"}, "max_workers": 1},
}
_LISTS = (
    "initialization_commands setup_commands head_setup_commands worker_setup_commands head_start_ray_commands "
    "worker_start_ray_commands cluster_synced_files rsync_exclude rsync_filter"
)
_STATE = """
import json, sys
from ray.util import state
actors = state.list_actors(sys.argv[1], filters=[("class_name", "=", sys.argv[2])], limit=10000)
tasks = state.list_tasks(sys.argv[1], filters=[("name", "=", sys.argv[3])], limit=10000)
print(json.dumps([[one.node_id for one in found] for found in (actors, tasks)]))
"""
_STATUS = """
import json, os, time
from ray.autoscaler.v2.sdk import get_cluster_status
while True:
    status = get_cluster_status(os.environ["RAY_ADDRESS"])
    nodes = [(node.ray_node_type_name, node.node_id) for node in status.active_nodes + status.idle_nodes]
    print(json.dumps(nodes), flush=True)
    time.sleep(0.5)
"""


def free_port():
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ScarceNodes(FakeMultiNodeProvider):
    """Ray's provider of nodes that are processes, with no more GPU nodes than a file says there are to be had."""

    def create_node_with_resources_and_labels(self, node_config, tags, count, resources, labels):
        """Start nodes, or raise as a cloud does that has none left."""
        for _ in range(count):
            kind = tags[TAG_RAY_USER_NODE_TYPE]
            there = self.non_terminated_nodes({TAG_RAY_USER_NODE_TYPE: kind})
            if kind == "gpu" and len(there) >= int(Path(self.provider_config["num_gpu_nodes"]).read_text()):
                raise RuntimeError("InsufficientInstanceCapacity")
            super().create_node_with_resources_and_labels(node_config, tags, 1, resources, labels)


class AutoscaledCluster:
    """A head without work, and nodes of `NODE_TYPES` as they are asked for; an idle one goes after `IDLE_S`."""

    def __init__(self, *, num_gpu_nodes=2, has_state_api=False):
        self._folder = Path(tempfile.mkdtemp(prefix="raydr-"))  # short: sockets lie below it
        self.address = f"127.0.0.1:{free_port()}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
        self._own = kept | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)]),
        }
        self._api = f"http://127.0.0.1:{free_port()}" if has_state_api else None
        self.allow_gpu_nodes(num_gpu_nodes)
        self._seen = []
        self._processes = []

    @property
    def environment(self):
        """What a command needs to join."""
        job = {"runtime_env": {"worker_process_setup_hook": "no_cuda.hide_gpus"}}
        return self._own | {"RAY_ADDRESS": self.address, "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(job)}

    def allow_gpu_nodes(self, count):
        """From now on there are so many to be had."""
        (self._folder / "num_gpu_nodes").write_text(str(count))

    def __enter__(self):
        """Start it."""
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_):
        """End every process of it."""
        self._stop()

    def _start(self):
        config = self._folder / "autoscaler.json"
        config.write_text(json.dumps(self._config()))
        options = {
            "node-ip-address": "127.0.0.1",
            "port": self.address.split(":")[1],
            "num-cpus": 0,
            "object-store-memory": STORE_BYTES,
            "autoscaling-config": config,
            "temp-dir": self._folder / "r",
            "include-dashboard": self._api is not None,
        }
        if self._api is not None:
            options |= {"dashboard-host": "127.0.0.1", "dashboard-port": self._api.split(":")[2]}
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
        command += [f"--{name}={value}" for name, value in options.items()]
        environment = self._own | {
            "RAY_FAKE_CLUSTER": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_enable_autoscaler_v2": "1",
            "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
            "RAY_NODE_TYPE_NAME": HEAD,
        }
        with (self._folder / "head.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            )
            self._await_head()
            look = [sys.executable, "-c", _STATUS]
            watch = subprocess.Popen(
                look, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        self._processes.append(watch)
        threading.Thread(target=self._follow, args=(watch.stdout,), daemon=True).start()
        self.wait_for(lambda nodes: nodes[HEAD] == 1)

    def _stop(self):
        sessions.end(*self._processes)  # the nodes are children of the head's monitor, which does not end them
        shutil.rmtree(self._folder, ignore_errors=True)

    def history(self, kind):
        """The number of nodes of a type, as often as it changed."""
        counts = [sum(of == kind for of, _ in nodes) for nodes in list(self._seen)]
        return [now for number, now in enumerate(counts) if number == 0 or now != counts[number - 1]]

    def nodes(self, kind):
        """The ids of all nodes of a type that there ever were."""
        return {node for nodes in list(self._seen) for of, node in nodes if of == kind}

    def wait_for(self, is_so, *, timeout_s=60.0):
        """Until the numbers of nodes by type are as wanted."""
        give_up = time.monotonic() + timeout_s
        while not (self._seen and is_so(Counter(kind for kind, _ in self._seen[-1]))):
            if time.monotonic() > give_up:
                raise TimeoutError(f"the autoscaler says {self._seen[-1:]}; {self._log()[-2000:]}")
            time.sleep(0.1)

    def nodes_of(self, actor_class, task_name):
        """On which nodes actors of a class and tasks of a name were, as Ray's State API has it."""
        asked = [sys.executable, "-c", _STATE, self._api, actor_class, task_name]
        done = subprocess.run(asked, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    def _log(self):
        return (self._folder / "head.log").read_text(errors="replace")

    def _await_head(self):
        give_up = time.monotonic() + 60
        host, port = self.address.split(":")
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                if time.monotonic() > give_up or self._processes[0].poll() is not None:
                    raise RuntimeError(self._log()) from None
                time.sleep(0.2)
            else:
                return

    def _follow(self, lines):
        for line in lines:
            self._seen.append([tuple(node) for node in json.loads(line)])

    def _config(self):
        head = {HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}}
        kinds = {
            name: {
                **kind,
                "resources": {**kind["resources"], "object_store_memory": STORE_BYTES},
                "node_config": {},
                "min_workers": 0,
            }
            for name, kind in NODE_TYPES.items()
        }
        return {
            "cluster_name": "fake",
            "max_workers": sum(kind["max_workers"] for kind in NODE_TYPES.values()),
            "head_node_type": HEAD,
            "auth": {},
            "idle_timeout_minutes": IDLE_S / 60,
            "upscaling_speed": 1.0,
            "provider": {
                "type": "external",
                "module": "autoscaled_cluster.ScarceNodes",
                "num_gpu_nodes": str(self._folder / "num_gpu_nodes"),
                "use_node_id_as_ip": True,
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
                "gcs_address": self.address,
                "head_node_id": HEAD_ID,
            },
            "available_node_types": {**head, **kinds},
            "docker": {},
            "file_mounts": {},
            "file_mounts_sync_continuously": False,
            **{name: [] for name in _LISTS.split()},
        }
