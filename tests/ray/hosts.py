"""Hosts of their own on one machine: each has a name, an address and processes of its own, and Ray on it.

A host is a process that holds namespaces open: when it ends, all that runs there and the host's network end with it.
So nothing is left of a host, also where the tests are killed, and the machine's own network is never touched.
"""

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil

NAMESPACES: Final = ("--net", "--uts", "--mount", "--pid")
_PORT: Final = 6379
_BOOT: Final = """
set -e
hostname "$1"
mount --bind "$2" /mnt
mount --bind "$2/hosts" /etc/hosts
mount -t tmpfs tmpfs /dev/shm
echo ready
sleep infinity &
wait
"""
_SWITCH: Final = "ip link add bridge type bridge && ip link set bridge up && echo ready && sleep infinity"
_WIRE: Final = """
set -e
ip link set lo up
ip link set eth0 address "$1" up
ip address add "$2/24" dev eth0
for number in $(seq 1 20); do  # as in a cloud, where nobody asks who is there and a lost host is mere silence
  ip neighbour replace "10.77.0.$number" lladdr "$(printf 02:00:0a:4d:00:%02x "$number")" dev eth0 nud permanent
done
"""
_WAIT_FOR_NODES: Final = """
import os, sys, time
from ray._raylet import GcsClient
give_up = time.monotonic() + 90
while True:
    try:
        nodes = GcsClient(os.environ["RAY_ADDRESS"]).get_all_node_info().values()
        if sum(node.state == 0 for node in nodes) >= int(sys.argv[1]):
            break
    except Exception:
        if time.monotonic() > give_up:
            raise
    if time.monotonic() > give_up:
        sys.exit("the nodes did not come")
    time.sleep(0.2)
"""


def why_not() -> str | None:
    """Why there can be no hosts on this machine, None where there can."""
    attempt = (
        "mount -t tmpfs tmpfs /dev/shm && ip link add bridge type bridge && ip link add eth0 type veth peer name eth1"
    )
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES, "--fork", "--mount-proc", "sh", "-ec", attempt]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


class _Holder:
    """Namespaces that are open for as long as this process lives."""

    def __init__(self, script: str, *arguments: str) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc"]
        self._process = subprocess.Popen(
            [*command, "bash", "-c", script, "bash", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", self._process.communicate()[1]
        [first] = psutil.Process(self._process.pid).children()
        self.pid = first.pid

    def enter(self, *command: str) -> list[str]:
        """The command that runs another one inside."""
        return ["nsenter", f"--target={self.pid}", *NAMESPACES, "--", *command]

    def end(self) -> None:
        """End every process inside at once."""
        if self._process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self._process.wait()


class Host:
    """A host: what runs on it sees its network, its name and its processes, and shares the machine's files."""

    def __init__(self, number: int, folder: Path, environment: dict[str, str]) -> None:
        self.address, self.port = f"10.77.0.{number}", f"port{number}"
        self.mac = f"02:00:0a:4d:00:{number:02x}"
        self.folder, self._environment = folder, environment
        folder.mkdir(parents=True)
        name = f"host{number}"
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")  # as Debian and Ubuntu write it
        self.holder = _Holder(_BOOT, name, str(folder))
        self._started: list[subprocess.Popen[str]] = []

    def run(self, *command: str, head: "Host | None" = None) -> str:
        """What a command said on the host."""
        done = subprocess.run(
            self.holder.enter(*command),
            env=self.environment(head),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *command: str, head: "Host | None" = None, log: Path | None = None) -> "subprocess.Popen[str]":
        """A command under way on the host; what it says is read from the process, or lies in a file."""
        with (log or Path(os.devnull)).open("w") as file:
            process = subprocess.Popen(
                self.holder.enter(*command),
                env=self.environment(head),
                stdout=subprocess.PIPE if log is None else file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self._started.append(process)
        return process

    def environment(self, head: "Host | None" = None) -> dict[str, str]:
        """The variables of whoever is logged in there."""
        return self._environment | ({} if head is None else {"RAY_ADDRESS": f"{head.address}:{_PORT}"})

    def start_ray(self, *, num_cpus: int, head: "Host | None" = None) -> None:
        """Start Ray: a head, or a node of a head's cluster."""
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--num-cpus={num_cpus}"]
        command += [f"--node-ip-address={self.address}", "--object-store-memory=150000000"]
        if head is None:
            command += ["--head", f"--port={_PORT}", "--include-dashboard=false"]
        else:
            command += [f"--address={head.address}:{_PORT}"]
        self.start(*command, log=self.folder / "ray.log")

    def wait_for_nodes(self, count: int) -> None:
        """Until the head's cluster has so many."""
        self.run(sys.executable, "-c", _WAIT_FOR_NODES, str(count), head=self)

    def running(self, name: str) -> list[psutil.Process]:
        """Ray's workers of that name on the host."""
        roots = [psutil.Process(process.pid) for process in self._started if process.poll() is None]
        titles = {one.pid: " ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])}
        return [
            process
            for root in roots
            for process in root.children(recursive=True)
            if f"ray::{name}" in titles.get(process.pid, "")
        ]

    def peers(self, process: psutil.Process) -> set[str]:
        """Addresses that a process of the host has open connections to."""
        inodes = {str(path.readlink()) for path in Path(f"/proc/{process.pid}/fd").iterdir()}
        rows = [line.split() for line in Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]]
        return {_address(row[2]) for row in rows if row[3] == "01" and f"socket:[{row[9]}]" in inodes}

    def power_off(self) -> None:
        """End all that runs there."""
        self.holder.end()
        for process in self._started:
            process.wait()


def _address(text: str) -> str:
    number, _ = text.split(":")
    return ".".join(str(int(number[place : place + 2], 16)) for place in (6, 4, 2, 0))


class Hosts:
    """Hosts on one network, gone when the context closes."""

    def __init__(self, folder: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
        self._environment = kept | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": "/mnt",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
        }
        self._folder, self._hosts = folder, list[Host]()

    def __enter__(self) -> "Hosts":
        """Set up the network."""
        self._switch = _Holder(_SWITCH)
        return self

    def __exit__(self, *_: object) -> None:
        """End every host and the network."""
        for host in self._hosts:
            host.power_off()
        self._switch.end()

    def add(self, **environment: str) -> Host:
        """Another host, with variables beside those that all have."""
        number = len(self._hosts) + 1
        host = Host(number, self._folder / f"host{number}", self._environment | environment)
        self._hosts.append(host)
        ends = ["eth0", "netns", str(host.holder.pid), "type", "veth", "peer", "name", host.port]
        subprocess.run(["ip", "link", "add", *ends, "netns", str(self._switch.pid)], check=True)
        host.run("bash", "-c", _WIRE, "bash", host.mac, host.address)
        self._ip("link", "set", host.port, "master", "bridge", "up")
        return host

    def unplug(self, host: Host) -> None:
        """Pull the host's cable: nobody hears of it, and it of nobody."""
        self._ip("link", "set", host.port, "down")

    def _ip(self, *arguments: str) -> None:
        subprocess.run(self._switch.enter("ip", *arguments), check=True)
