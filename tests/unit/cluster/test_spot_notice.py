"""A node that is about to be taken away is announced to Ray as the clouds' notices and Kubernetes' hooks come."""

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cluster_files import CLUSTER

SCRIPT = CLUSTER / "spot_notice.sh"


class Metadata(BaseHTTPRequestHandler):
    """A cloud's metadata service: no notice at the first question, one at the second."""

    asked: list[str]

    def do_PUT(self) -> None:
        self._answer(b"secret-of-the-day" if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else None)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        is_second = len(self.asked) > 1
        if self.path == "/latest/meta-data/spot/instance-action":
            has_token = self.headers["X-aws-ec2-metadata-token"] == "secret-of-the-day"
            self._answer(b'{"action": "terminate"}' if has_token and is_second else None)
        elif self.path == "/computeMetadata/v1/instance/preempted" and self.headers["Metadata-Flavor"] == "Google":
            self._answer(b"TRUE" if is_second else b"FALSE")
        else:
            self._answer(None)

    def _answer(self, body: bytes | None) -> None:
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metadata() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (Metadata,), {"asked": asked}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def run(folder: Path, *words: str, ray_fails: bool = False, url: str = "") -> tuple[int, list[str]]:
    """The script's exit status, and what it called `ray` and `sleep` with."""
    calls = folder / "calls"
    for name, status in (("ray", int(ray_fails)), ("sleep", 0)):
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\nexit {status}\n')
        (folder / name).chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "AWS_METADATA": url, "GCP_METADATA": url, "no_proxy": "*"}
    done = subprocess.run([SCRIPT, *words], env=environment, timeout=20, check=False, capture_output=True)
    return done.returncode, calls.read_text().splitlines() if calls.exists() else []


def drain(message: str, seconds: int) -> str:
    reason = "--reason DRAIN_NODE_REASON_PREEMPTION --reason-message"
    return f"ray drain-node {reason} {message} --deadline-remaining-seconds {seconds}"


@pytest.mark.parametrize(
    ("cloud", "pause", "announced"),
    [("aws", "sleep 5", drain("spot interruption", 110)), ("gcp", "sleep 2", drain("spot pre-emption", 25))],
)
def test_a_clouds_notice_is_waited_for_and_announced_once(
    metadata: tuple[str, list[str]], tmp_path: Path, cloud: str, pause: str, announced: str
) -> None:
    url, asked = metadata
    assert run(tmp_path, cloud, url=url) == (0, [pause, announced])
    assert len(asked) == 2


def test_a_pod_is_announced_and_has_its_time(tmp_path: Path) -> None:
    assert run(tmp_path, "now", "100") == (0, [drain("the pod is being deleted", 100), "sleep 100"])


def test_a_pod_whose_head_is_gone_does_not_wait(tmp_path: Path) -> None:
    status, calls = run(tmp_path, "now", "100", ray_fails=True)
    assert status
    assert calls == [drain("the pod is being deleted", 100)]


def test_anything_else_is_told_how_it_is_used(tmp_path: Path) -> None:
    assert run(tmp_path, "azure") == (2, [])
