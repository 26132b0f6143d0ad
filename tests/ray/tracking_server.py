"""A real MLflow server that can be killed and started again on what it had."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path


class TrackingServer:
    """It keeps what it has in SQLite in a folder.

    Args:
        folder: Its own.
        artifacts: Where it puts files; None: in its folder.
        admin: User name and password, as `cluster/mlflow/mlflow.yaml` has them; None lets everybody in.
        environment: Variables to add, such as those of an object store.
    """

    def __init__(
        self,
        folder: Path,
        *,
        artifacts: str | None = None,
        admin: tuple[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder, self.process = folder, None
        self.uri = f"http://127.0.0.1:{self.port}"
        self._options = {
            "backend-store-uri": f"sqlite:///{folder}/mlflow.db",
            "artifacts-destination": artifacts or f"{folder}/artifacts",
            "host": "127.0.0.1",
            "port": str(self.port),
            "workers": "1",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        self._environment = {**kept, **(environment or {})}
        if admin is not None:
            self._options["app-name"] = "basic-auth"
            (folder / "auth.ini").write_text(
                f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/users.db\n"
                f"admin_username = {admin[0]}\nadmin_password = {admin[1]}\n"
                "auth_cache_ttl_seconds = 60\n"  # a model's hundreds of files are a request and a password each
            )
            self._environment["MLFLOW_AUTH_CONFIG_PATH"] = str(folder / "auth.ini")
            self._environment["MLFLOW_FLASK_SERVER_SECRET_KEY"] = admin[1][::-1]

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server"]
        command += [part for name, value in self._options.items() for part in (f"--{name}", value)]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return
            except OSError:
                said = (self.folder / "server.log").read_text()[-2000:]
                assert self.process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.2)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
