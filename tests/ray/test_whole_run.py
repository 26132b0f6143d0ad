"""A whole `run` as on a site: pictures and results in an S3 store, MLflow with passwords, its files in S3 as well."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from listening import command_lines, is_loopback, listening
from mlflow import MlflowClient
from sessions import within
from tracking_server import TrackingServer

from raydr import storage
from raydr.images.phantom import write_phantoms

pytestmark = [pytest.mark.ray, pytest.mark.survival]

EPOCHS, PATIENCE_S = 3, 300.0
RUN = """
job = "run"
out = "BUCKET/runs/site"
preprocess.side_px = 48
evaluate.num_resamples = 100
finetune.head.kind = "grades"
finetune.model.backbone = "test_resnet"
finetune.optim.epochs = 1
finetune.optim.batch_size = 16
distill.model.backbone = "test_resnet"
distill.optim.epochs = 1
distill.optim.batch_size = 16
distill.distillation.teacher_views = 1

[index.sources.phantoms]
layout = "eyepacs"
allow_partial = true
images = "BUCKET/phantoms/images"
labels = "BUCKET/phantoms/trainLabels.csv"
[index.budget]
fraction = 0.5

[prepare]
side_px = 64
images_per_shard = 32

[pretrain]
model.backbone = "test_resnet"
method.projection_dim = 16
method.hidden_dim = 32
optim.epochs = 3
optim.batch_size = 16

[search]
trials = 2
cpus_per_trial = 0.5
epochs = 1
grace_epochs = 1
[search.space]
"distillation.temperature" = { kind = "loguniform", low = 1.0, high = 6.0 }

[cluster]
local_cpus = 2
num_workers = 2
cpus_per_worker = 0.5
decode_cpus = 0.5
threads_per_worker = 1
object_store_mib = 200
"""


@dataclass(frozen=True)
class Site:
    """A store with photographs, a tracking server whose files go there, and what a user of both has set."""

    bucket: str
    server: TrackingServer
    environment: dict[str, str]
    folder: Path
    sessions: Path
    """Where Ray keeps its sessions and their logs."""
    secrets: dict[str, str]

    def start(self, *arguments: str, **changes: str | None) -> subprocess.Popen[str]:
        """`raydr …` as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "raydr", *arguments],
            cwd=self.folder,
            env={name: value for name, value in {**self.environment, **changes}.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def raydr(self, *arguments: str, **changes: str | None) -> tuple[int, str]:
        """Its exit status and all that it said."""
        with within(PATIENCE_S, self.start(*arguments, **changes)) as process:
            output = process.stdout.read()
            return process.wait(), output


@pytest.fixture(scope="module")
def site(object_store, tmp_path_factory):
    pytest.importorskip("flask_wtf", reason="MLflow's basic-auth needs mlflow[auth], which the extra `dev` brings")
    pytest.importorskip("boto3", reason="MLflow's files in S3 need boto3, which the extra `dev` brings")
    folder, sessions = tmp_path_factory.mktemp("site"), Path(tempfile.mkdtemp(prefix="rw-"))  # short: sockets below
    write_phantoms(str(folder / "phantoms"), num_patients=40, seed=0, side_px=96)
    for path in (folder / "phantoms").rglob("*"):
        if path.is_file():
            storage.write_bytes(f"{object_store.uri}/{path.relative_to(folder)}", path.read_bytes())
    (folder / "run.toml").write_text(RUN.replace("BUCKET", object_store.uri))
    planted = {
        "MLFLOW_TRACKING_PASSWORD": secrets.token_urlsafe(30),
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "AWS_SECRET_ACCESS_KEY": object_store.environment["AWS_SECRET_ACCESS_KEY"],
    }
    (folder / "server").mkdir()
    server = TrackingServer(
        folder / "server",
        artifacts=f"{object_store.uri}/mlflow",
        admin=("raydr", planted["MLFLOW_TRACKING_PASSWORD"]),
        environment=object_store.environment,
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_", "AWS_"))}
    environment = {
        **kept,
        **object_store.environment,
        **planted,
        "MLFLOW_TRACKING_URI": server.uri,
        "MLFLOW_TRACKING_USERNAME": "raydr",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "RAY_TMPDIR": str(sessions),
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), kept.get("PYTHONPATH", "")]),
    }
    try:
        server.start()
        yield Site(object_store.uri, server, environment, folder, sessions, planted)
    finally:
        server.kill()
        shutil.rmtree(sessions, ignore_errors=True)


@pytest.fixture(scope="module")
def refused(site):
    """Status and output of a run and a doctor with a wrong password, and whether the run has left anything."""
    wrong = {"MLFLOW_TRACKING_PASSWORD": "wrong"}
    ran = site.raydr("run", "--config", "run.toml", **wrong)
    is_written = storage.exists(f"{site.bucket}/runs")
    return {"run": ran, "doctor": site.raydr("doctor", "--config", "run.toml", **wrong)}, is_written


@dataclass(frozen=True)
class Ran:
    """What a run said, and what was seen while it was training."""

    output: str
    listening: list[tuple[str, str]]
    """Process and address."""
    commands: str
    states: dict[str, bytes]
    """Files of the training's saved states."""


@pytest.fixture(scope="module")
def ran(site, refused):
    """The run, whose tracking server is dead from the first epoch of pretraining on, and back for the evaluations."""
    lines, seen, states = [], [], {}
    server_back = threading.Thread(target=site.server.start, daemon=True)
    with within(PATIENCE_S, site.start("run", "--config", "run.toml")) as process:
        for line in process.stdout:
            lines.append(line)
            if f"pretrain epoch 1/{EPOCHS}" in line:
                seen = listening(process.pid), "\n".join(command_lines(process.pid))
                site.server.kill()
                found = storage.list_files(f"{site.bucket}/runs/site/pretrain/ray")
                states = {uri: storage.read_bytes(uri) for uri, _, _ in found if uri.endswith(".json")}
            if "pretrain: done" in line:
                server_back.start()
            if "search: started" in line:  # the server takes its time on a busy machine
                assert server_back.ident is not None, "".join(lines)
                process.send_signal(signal.SIGSTOP)
                server_back.join(timeout=PATIENCE_S)
                process.send_signal(signal.SIGCONT)
        assert process.wait() == 0, "".join(lines)
    return Ran("".join(lines), *seen, states)


@pytest.fixture(scope="module")
def result(site, ran):
    return json.loads(storage.read_bytes(f"{site.bucket}/runs/site/result.json"))


def client_of(site, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "raydr")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", site.secrets["MLFLOW_TRACKING_PASSWORD"])
    return MlflowClient(site.server.uri)


@pytest.mark.parametrize(("verb", "status"), [("run", 2), ("doctor", 1)])
def test_a_wrong_password_is_told_in_one_line_before_anything_is_spent(site, refused, verb, status):
    told, is_written = refused
    found, output = told[verb]
    assert found == status, output
    (line,) = [line for line in output.splitlines() if "refuses this user or password" in line]
    assert f"MLflow ({site.server.uri}): refuses this user or password, or wants one; set MLFLOW_TRACKING" in line
    assert "Traceback" not in output
    assert "index: started" not in output
    assert not is_written


def test_a_run_from_and_into_s3_ends_whole_though_its_tracking_server_died_in_the_middle(site, ran, result):
    assert set(result["metrics"]["auc"]) == set(result["metrics"]["teacher_auc"]) == {"phantoms"}
    assert "Traceback" not in ran.output
    uris = result["artifacts"].values()
    assert all(uri.startswith(f"{site.bucket}/runs/site/") for uri in uris)
    assert all(storage.exists(uri) for uri in uris)
    assert f"MLflow   {site.server.uri}" in ran.output
    assert not [uri for uri, _, _ in storage.list_files(f"{site.bucket}/runs") if "/ray/" in uri]
    assert not [path for path in site.folder.iterdir() if path.name not in ("phantoms", "run.toml", "server")]


def test_what_the_dead_server_missed_is_in_mlflow_in_the_end(site, ran, result, monkeypatch):
    client = client_of(site, monkeypatch)
    runs = client.search_runs([client.get_experiment_by_name("raydr").experiment_id], max_results=100)
    by_name = {run.info.run_name: run for run in runs}
    assert {"run", "index", "prepare", "pretrain", "evaluate"} <= set(by_name)
    assert {run.info.status for run in runs} == {"FINISHED"}
    history = json.loads(storage.read_bytes(f"{site.bucket}/runs/site/pretrain/result.json"))["metrics"]["history"]
    pretraining = by_name["pretrain"].info.run_id
    points = client.get_metric_history(pretraining, "loss")
    assert [point.step for point in points] == [int(row["epoch"]) for row in history]
    assert [point.value for point in points] == pytest.approx([row["loss"] for row in history])
    assert by_name["run"].data.metrics["student_auc.phantoms"] == result["metrics"]["auc"]["phantoms"]["value"]
    assert by_name["pretrain"].data.tags["mlflow.parentRunId"] == by_name["run"].info.run_id == result["mlflow_run_id"]


def test_no_secret_is_left_in_a_log_a_result_a_database_or_a_command_line(site, ran, result, tmp_path):
    """Also not of a password that stands in the tracking URI, with which a further verb is run."""
    (tmp_path / "scores.csv").write_text("image_id,probability\na,0.1\nb,0.9\n")
    (tmp_path / "labels.csv").write_text("image_id,grade\na,0\nb,4\n")
    files = ["--scores", str(tmp_path / "scores.csv"), "--labels", str(tmp_path / "labels.csv")]
    password = site.secrets["MLFLOW_TRACKING_PASSWORD"]
    uri = f"tracking.uri={site.server.uri.replace('://', f'://raydr:{password}@')}"
    nobody = dict.fromkeys(["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"])
    status, output = site.raydr("evaluate", *files, "--out", f"{tmp_path}/out", "--set", uri, **nobody)
    assert status == 0, output
    written = {f"s3: {uri}": storage.read_bytes(uri) for uri, _, _ in storage.list_files(site.bucket)}
    for folder in (site.sessions, site.folder, tmp_path):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                written[str(path)] = path.read_bytes()
    del written[str(site.folder / "server" / "auth.ini")]  # the server's own
    written |= {"screen": (ran.output + output).encode(), "commands": ran.commands.encode(), **ran.states}
    names = " ".join(written)
    for kind in ("gcs_server", "raylet", "worker-", "mlflow.db", "state.json", "result.json", "model.json"):
        assert kind in names, kind
    found = [
        (name, which)
        for name, text in written.items()
        for which, secret in site.secrets.items()
        if secret.encode() in text
    ]
    assert found == []


def test_the_models_files_went_through_the_server_into_the_bucket_and_come_back(site, ran, result, monkeypatch):
    client = client_of(site, monkeypatch)
    champion = client.get_model_version_by_alias("raydr", "champion")
    location = client.get_model_version_download_uri("raydr", champion.version)
    assert location.startswith("mlflow-artifacts:/"), "the client knows no bucket, the server does"
    place = location.removeprefix("mlflow-artifacts:").lstrip("/")
    weights = f"{site.bucket}/mlflow/{place}/artifacts/model/model.safetensors"
    student = result["artifacts"]["student"]
    assert storage.read_bytes(weights) == storage.read_bytes(f"{student}/model.safetensors")
    scored = ["--images", f"{site.bucket}/phantoms/images", "--out", f"{site.bucket}/scores.parquet"]
    status, output = site.raydr(
        "predict", "--model", "models:/raydr@champion", *scored, "--set", "cluster.object_store_mib=200"
    )
    assert status == 0, output
    assert storage.read_table(f"{site.bucket}/scores.parquet").num_rows == 80


def test_the_same_command_finds_everything_up_to_date(site, ran, result):
    status, output = site.raydr("run", "--config", "run.toml")
    assert status == 0, output
    assert output.count(": up to date (") == 7
    assert "cluster: started" not in output


def test_every_socket_of_a_training_is_on_the_loopback_device(ran):
    assert {"raylet", "gcs_server"} <= {name for name, _ in ran.listening}
    assert sum("RayTrainWorker" in name for name, _ in ran.listening) >= 2
    assert [(name, address) for name, address in ran.listening if not is_loopback(address)] == []
