"""The way a platform team runs raydr: `ray job submit` to a head that asks for a token, here a real one of our own.

It is never stopped with `ray stop`, which would end every Ray on the machine.
"""

import contextlib
import os
import platform
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray
from ground import write_manifest
from PIL import Image

from raydr import storage
from raydr.data.manifest import read_manifest
from raydr.training.states import SavedStates
from raydr.workflows.result import read_result

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
START_SECONDS = 240
EPOCHS = 12


@dataclass(frozen=True)
class Head:
    """A running head node: where its job API is and the environment that may use it."""

    address: str
    gcs_address: str
    environment: dict[str, str]
    folder: Path

    def submit(self, *command: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """`ray job submit` as the README and the job files have it, followed to its end."""
        options = ["--address", self.address, "--working-dir", ".", "--runtime-env", "cluster/runtime_env.yaml"]
        return subprocess.run(
            [*RAY, "job", "submit", *options, "--", *command],
            cwd=ROOT,
            env=environment or self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def start(self, *words: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """`raydr submit --follow -- WORDS` to this cluster."""
        return subprocess.Popen(
            [sys.executable, "-m", "raydr", "submit", "--follow", "--address", self.address, *words],
            cwd=ROOT,
            env=environment or self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def raydr(self, *words: str, environment: dict[str, str] | None = None) -> tuple[int, list[str]]:
        """The exit status of `raydr submit --follow WORDS`, and all that it printed."""
        return _finish(self.start(*words, environment=environment))

    def stop(self, submission_id: str) -> None:
        """What `ray job stop --no-wait` asks for."""
        headers = {"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        request = urllib.request.Request(
            f"{self.address}/api/jobs/{submission_id}/stop", headers=headers, method="POST"
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

    def status(self, token: str | None, page: str = "api/jobs/") -> int:
        """The HTTP status of the job API, or of another page of the dashboard, for a request with ``token``."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"{self.address}/{page}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0  # not up yet


def _finish(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    output, _ = process.communicate(timeout=180)
    return process.returncode, output.splitlines()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _environment(token: str) -> dict[str, str]:
    """This process's environment without any Ray's, this virtual environment's programs first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_", "AWS_"))}
    return kept | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}",
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a head and all that it started; its children first known, because it may leave them behind."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        family = [*parent.children(recursive=True), parent]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.terminate()
        _, left = psutil.wait_procs(family, timeout=5)
        for member in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
    process.wait(timeout=10)


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """`ray start --head` on ports of its own, on the loopback device, with token authentication."""
    token, folder = secrets.token_hex(32), tempfile.mkdtemp(prefix="raydr-")  # short: sockets lie below it
    port, dashboard, client, agent = _free_ports(4)
    command = [*RAY, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}"]
    command += ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    command += [f"--ray-client-server-port={client}", f"--dashboard-agent-listen-port={agent}"]
    command += [
        "--min-worker-port=0",
        "--max-worker-port=0",
    ]  # whatever is free: another cluster may have the usual ones
    command += ["--num-cpus=2", "--object-store-memory=200000000", f"--temp-dir={folder}", "--disable-usage-stats"]
    environment = _environment(token)
    with (Path(folder) / "start.log").open("w+b") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            head = Head(f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{port}", environment, Path(folder))
            deadline = time.monotonic() + START_SECONDS
            while head.status(token) != 200:
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    pytest.fail(f"the head did not come up:\n{log.read().decode(errors='replace')[-3000:]}")
                time.sleep(0.3)
            yield head
        finally:
            _end(process)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """A job for `raydr index` over the photographs, of noise, of twelve patients."""
    generator = np.random.default_rng(0)
    (tmp_path / "photographs").mkdir()
    labels = ["image,level"]
    for patient in range(12):
        for eye in ("left", "right"):
            name = f"{patient}_{eye}"
            pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photographs" / f"{name}.jpeg")
            labels.append(f"{name},{patient % 5}")
    (tmp_path / "labels.csv").write_text("\n".join(labels))
    file = tmp_path / "job.toml"
    file.write_text(
        f"""\
job = "index"
out = "{tmp_path}/out"
[sources.noise]
layout = "eyepacs"
allow_partial = true
images = "{tmp_path}/photographs"
labels = "{tmp_path}/labels.csv"
[splits]
val_fraction = 0.25
test_fraction = 0.25
[budget]
fraction = 0.5
[tracking]
enabled = false
"""
    )
    return file


def test_job_api_and_dashboard_refuse_whoever_has_no_token(head: Head) -> None:
    assert head.status(None) == 401
    assert head.status("x" * 64) == 403
    for page in ("nodes?view=summary", "logical/actors", "api/v0/nodes", "api/v0/logs", "api/cluster_status"):
        assert (head.status(None, page), head.status("x" * 64, page)) == (401, 403), page
    without = {name: value for name, value in head.environment.items() if name != "RAY_AUTH_TOKEN"}
    done = head.submit("python", "-c", "print('let in')", environment={**without, "RAY_AUTH_MODE": "disabled"})
    assert done.returncode != 0
    assert "let in" not in done.stdout


def test_a_submitted_job_runs_the_code_sent_along_and_leaves_its_result(head: Head, job_file: Path) -> None:
    where = "import sys, raydr, pathlib; print('ran', sys.executable, pathlib.Path(raydr.__file__).parents[1])"
    commands = [
        f'python -c "{where}"',
        "python -m raydr config check jobs cluster",
        f"python -m raydr index --config {shlex.quote(str(job_file))}",
    ]
    done = head.submit("bash", "-c", " && ".join(commands))  # one job: each costs seconds to start
    assert done.returncode == 0, done.stdout + done.stderr
    (ran,) = [line.split() for line in done.stdout.splitlines() if line.startswith("ran ")]
    assert ran[1] == sys.executable
    assert "working_dir_files" in ran[2], "not the code that is installed here"
    assert "ok jobs/run.toml run" in done.stdout
    out = job_file.parent / "out"
    assert f"result: {out}/result.json" in done.stdout
    result = read_result(str(out))
    assert result is not None
    assert result.metrics["num_images"] == 24
    assert read_manifest(result.artifacts["manifest"]).num_rows == 24


def test_a_job_with_bad_settings_fails_with_its_line(head: Head, job_file: Path) -> None:
    done = head.submit("python", "-m", "raydr", "index", "--config", str(job_file), "--set", "splits.val_fraction=2")
    assert done.returncode == 1
    text = done.stdout + done.stderr
    assert "raydr: command line: splits.val_fraction: must be at most 1 (got 2)" in text
    assert "Traceback" not in text.partition("Job entrypoint command")[0]


# ── raydr submit ──


def test_the_doctor_is_the_smallest_job_and_finds_a_cluster_well(head: Head, job_file: Path) -> None:
    status, lines = head.raydr("--", "doctor", "--config", str(job_file))
    assert status == 0, lines
    text = "\n".join(lines)
    for found in (
        f"ok       versions: python {platform.python_version()}, ray {ray.__version__}, ",
        "ok       placement: trainers and decoding have a place on 2 CPUs and 0 GPUs",
        f"ok       storage: {job_file.parent}/out is read and written from one node",
        f"ok       authentication: {head.address} refuses who has no token",
        "ok       State API: answers",
    ):
        assert found in text
    assert "stopping" not in text, "the job has no time to save when it is stopped"
    assert not list((job_file.parent / "out").iterdir()), "the doctor left something behind"
    logs = b"".join(file.read_bytes() for file in head.folder.rglob("runtime_env*.log"))
    assert b"RAY_JOB_STOP_WAIT_TIME_S" in logs, "Ray logs no environment any more, so --env could take secrets"
    assert re.fullmatch(r"raydr submit: raydr-doctor-[0-9a-f]{10} is done", lines[-1])


def test_a_job_that_fails_on_the_cluster_ends_with_its_status_and_why(head: Head, job_file: Path) -> None:
    (job_file.parent / "labels.csv").unlink()  # the settings are right, so it is sent
    status, lines = head.raydr("--name", "fails", "--", "index", "--config", str(job_file))
    assert status == 2, lines
    assert lines[0] == f"fails: submitted to {head.address}"
    assert lines[-1].startswith("raydr submit: fails failed with status 2: raydr: ")
    assert "labels.csv" in lines[-1]


@pytest.mark.parametrize(
    "changes", [{"RAY_AUTH_TOKEN": "x" * 64}, {"RAY_AUTH_MODE": "disabled"}], ids=["another token", "none"]
)
def test_a_refused_token_is_one_line(head: Head, changes: dict[str, str]) -> None:
    status, lines = head.raydr("--", "doctor", environment={**head.environment, **changes})
    assert status == 2, lines
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"raydr: submit: {head.address} refuses this token, or wants one (Authentication ")


def test_a_cluster_that_does_not_let_a_verb_join_is_one_line(head: Head) -> None:
    doctor = [sys.executable, "-m", "raydr", "doctor", "--set", f"cluster.address={head.gcs_address}"]
    environment = {**head.environment, "RAY_AUTH_TOKEN": "x" * 64}
    done = subprocess.run(doctor, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("raydr: ")]
    assert line.startswith(f"raydr: cluster: {head.gcs_address} cannot be joined (")
    assert "RAY_AUTH_TOKEN" in line
    assert "Traceback" not in done.stderr


@pytest.mark.survival
def test_a_job_outlives_its_follower_saves_when_stopped_and_goes_on_when_submitted_again(
    head: Head, tmp_path: Path, write_photographs: Callable[[Path, int], list[str]]
) -> None:
    words = ["--name", "train", "--", "pretrain", "--config", str(_pretraining(tmp_path, write_photographs))]
    left = head.start(*words)
    assert left.stdout is not None
    assert left.stdout.readline() == f"train: submitted to {head.address}\n"
    left.send_signal(signal.SIGINT)
    status, lines = _finish(left)
    assert status == 130, lines
    assert lines[-2:] == [
        "train goes on; the same command follows it again, `ray job stop train` ends it",
        "raydr submit: interrupted",
    ]
    again = head.start(*words)
    _wait_for_a_state(tmp_path / "out")
    head.stop("train")
    status, lines = _finish(again)
    assert status == 143, lines
    assert lines[0] == f"train: is under way already on {head.address}"
    assert any("raydr pretrain: terminated: the state at " in line for line in lines), lines
    assert lines[-1] == "raydr submit: train was stopped; submitted again it goes on from what it has saved"
    status, lines = head.raydr(*words)
    assert status == 0, lines
    assert lines[0] == f"train-2: submitted to {head.address}"
    assert not any("pretrain epoch 1/" in line for line in lines), "it began anew"
    result = read_result(str(tmp_path / "out"))
    assert result is not None
    assert result.metrics["epochs"] == EPOCHS


def test_the_token_is_in_no_file_of_the_cluster(head: Head) -> None:
    token = head.environment["RAY_AUTH_TOKEN"].encode()
    logs = [file for file in head.folder.rglob("*") if file.is_file() and not file.is_symlink()]
    assert len(logs) > 10
    assert [file.name for file in logs if token in file.read_bytes()] == []


def _pretraining(folder: Path, write_photographs: Callable[[Path, int], list[str]]) -> Path:
    """A job whose states come fast and whose end does not."""
    uris = write_photographs(folder / "photographs", 32)
    write_manifest(folder, uris, split=["train"] * len(uris))
    file = folder / "pretrain.toml"
    file.write_text(
        f"""\
job = "pretrain"
out = "{folder}/out"
data.manifest = "{folder}/manifest.parquet"
preprocess.side_px = 32
model.backbone = "test_resnet"
method.projection_dim = 16
method.hidden_dim = 32
optim.epochs = {EPOCHS}
optim.batch_size = 8
tracking.enabled = false
[cluster]
cpus_per_worker = 0.5
decode_cpus = 0.5
threads_per_worker = 1
"""
    )
    return file


def _wait_for_a_state(out: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for folder in (out / "ray").glob("pretrain-*"):
            if folder.is_dir() and SavedStates(*storage.locate(str(folder))).names():
                return
        time.sleep(0.1)
    pytest.fail("no state was saved")
