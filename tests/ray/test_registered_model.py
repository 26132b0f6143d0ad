"""A registered model: served over HTTP, evaluated by its URI, and scored as the champion on validation patients."""

import base64
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from listening import is_loopback, listening
from served_environment import environment_of

from raydr import storage
from raydr.config.jobs import EvaluateSettings, PredictSettings, RunSettings
from raydr.data.ingest import prepare_shards
from raydr.data.manifest import SCHEMA
from raydr.data.prepared import Recipe
from raydr.engine.package import ModelDescription, save_model
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.inference.scoring import score_images
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier
from raydr.tracking.models import fetch_model, log_model
from raydr.tracking.registry import CHAMPION, set_alias
from raydr.tracking.runs import open_tracker
from raydr.tracking.store import open_client
from raydr.workflows.evaluate import evaluate
from raydr.workflows.predict import predict
from raydr.workflows.promotion import score_champion

pytestmark = pytest.mark.ray
GRADES = [f"grade_{grade}" for grade in range(5)]


class Clinic:
    """Photographs, their manifest, and a champion in a registry."""

    def __init__(self, folder: Path, uris: list[str]) -> None:
        self.folder, self.uris = folder, uris
        names = [Path(uri).name for uri in uris]
        columns = {name: [None] * len(uris) for name in SCHEMA.names}
        columns |= {"image_id": names, "uri": uris, "dataset": ["clinic"] * len(uris)}
        columns |= {"grade": [number % 5 for number in range(len(uris))], "patient_id": names}
        columns |= {"split": ["test", "val"] * (len(uris) // 2)}
        self.manifest = str(folder / "manifest.parquet")
        storage.write_table(self.manifest, pa.table(columns, schema=SCHEMA))
        self.model = str(folder / "model")
        torch.manual_seed(3)
        network = Classifier(create_backbone("test_resnet"), 5).eval()
        with torch.no_grad():  # a fresh head barely tells pictures apart
            network.head.weight.mul_(30)
        description = ModelDescription("test_resnet", "grades", Preprocess(side_px=32), thresholds={"youden": 0.5})
        save_model(self.model, network, description)
        self.tracker = open_tracker(
            enabled=True, uri=f"sqlite:///{folder}/registry.db", experiment="e", default_folder=str(folder)
        )
        logged = log_model(
            self.tracker,
            self.tracker.start_run("distill"),
            model_folder=self.model,
            example_jpeg=Path(uris[0]).read_bytes(),
            registered_name="raydr",
        )
        set_alias(self.tracker, "raydr", CHAMPION, logged.version)

    @property
    def tracking(self) -> dict[str, str]:
        return {"uri": self.tracker.uri}


@pytest.fixture(scope="module")
def clinic(ray_cluster, tmp_path_factory, write_photographs):
    folder = tmp_path_factory.mktemp("registered")
    return Clinic(folder, write_photographs(folder / "photographs", 12))


@pytest.fixture(scope="module")
def server(clinic, tmp_path_factory):
    """Address and process id of `mlflow models serve` on a copy of the model, where only its requirements can be
    imported."""
    place = tmp_path_factory.mktemp("elsewhere")
    location = open_client(clinic.tracker.uri).get_model_version_download_uri("raydr", "1")
    model = shutil.copytree(location.removeprefix("file://"), place / "model")
    environment = environment_of((model / "requirements.txt").read_text().split(), place / "environment")
    for name in ("raydr", "ray"):
        command = [sys.executable, "-c", f"import {name}"]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
        assert "ModuleNotFoundError" in done.stderr, name
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["mlflow", "models", "serve", "--model-uri", str(model), "--env-manager", "local"]
    log = (place / "server.log").open("w+")
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=place / "environment",
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not _answers(address):
            said = (place / "server.log").read_text()
            assert server.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.2)
        yield address, server.pid
    finally:
        server.terminate()  # the server is told by the kernel when its parent ends
        server.wait(timeout=30)
        log.close()


@pytest.fixture(scope="module")
def served(server):
    return server[0]


def _answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(f"{address}/ping", timeout=5).status == 200
    except (urllib.error.URLError, TimeoutError):
        return False


def _ask(address: str, pictures: list[bytes]) -> list[dict[str, float | str | None]]:
    rows = [[base64.b64encode(picture).decode()] for picture in pictures]
    body = json.dumps({"dataframe_split": {"columns": ["image"], "data": rows}}).encode()
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    answer = json.loads(urllib.request.urlopen(request, timeout=60).read(), parse_constant=pytest.fail)  # NaN
    return answer["predictions"]


def test_a_served_model_answers_what_predict_says(clinic, served):
    out = str(clinic.folder / "predicted.parquet")
    settings = {"job": "predict", "out": out, "model": "models:/raydr@champion", "tracking": clinic.tracking}
    predict(PredictSettings(**settings, images=str(clinic.folder / "photographs")))
    predicted = pq.read_table(out).to_pylist()
    pictures = [Path(row["image"].removeprefix("file://")).read_bytes() for row in predicted]
    answered = _ask(served, [*pictures, pictures[0][:500]])
    broken = answered.pop()
    for name in ("probability", *GRADES):
        said = [row[name] for row in answered]
        assert np.allclose(said, [row[name] for row in predicted], atol=1e-5), name
    assert np.ptp([row["probability"] for row in answered]) > 1e-3  # the comparison above could fail
    assert [row["error"] for row in answered] == [None] * len(pictures)
    assert broken["error"].startswith("truncated")
    assert broken["probability"] is None


def test_a_served_model_listens_on_the_loopback_device_alone(server):
    found = listening(server[1])
    assert found
    assert [each for each in found if not is_loopback(each[1])] == []


def test_a_registered_model_is_evaluated_as_its_folder_is(clinic):
    found = {}
    for name, model in (("uri", "models:/raydr@champion"), ("folder", clinic.model)):
        settings = {"job": "evaluate", "out": str(clinic.folder / f"by-{name}"), "num_resamples": 100}
        data = {"manifest": clinic.manifest}
        found[name] = evaluate(EvaluateSettings(**settings, data=data, model=model, tracking=clinic.tracking))
    aucs = [result.metrics["auc"]["clinic"] for result in found.values()]
    assert aucs[0] == aucs[1]
    assert aucs[0]["num_images"] == 6
    splits = pq.read_table(found["uri"].artifacts["scores"])["split"].to_pylist()
    assert sorted(splits) == ["test"] * 6 + ["val"] * 6


def run_settings(clinic):
    source = {"layout": "csv", "images": "unused", "labels": "unused"}
    space = {"distillation.temperature": {"kind": "uniform", "low": 1.0, "high": 2.0}}
    content = {"job": "run", "out": str(clinic.folder / "run"), "index": {"sources": {"clinic": source}}}
    return RunSettings.model_validate({**content, "search": {"space": space}, "tracking": clinic.tracking})


def test_the_champion_sees_the_validation_photographs_as_its_own_preprocessing_says(clinic):
    rows = pa.table({"image_id": [Path(uri).name for uri in clinic.uris], "uri": clinic.uris})
    recipe = Recipe(Preprocess(side_px=48), 100)
    prepare_shards(rows, out=str(clinic.folder), recipe=recipe, images_per_shard=4, decode_cpus=1.0)
    fetched = fetch_model("models:/raydr@champion", tracker_uri=clinic.tracker.uri)
    shards, out = str(clinic.folder / "shards"), str(clinic.folder / "run")
    with pytest.raises(InputError, match="side_px"):  # these shards are of no use to it
        score_images(rows, fetched, shards=shards)
    table = score_champion(run_settings(clinic), fetched, manifest=clinic.manifest, shards=shards, out=out)
    validation = rows.take(pa.array(range(1, 12, 2)))
    assert table["image_id"].to_pylist() == validation["image_id"].to_pylist()
    alone = score_images(validation, clinic.model)
    assert np.allclose(table["probability"].to_numpy(), alone["probability"].to_numpy(), atol=1e-6)
    assert not storage.exists(storage.join(out, "champion-compared"))
    assert Path(fetched).is_dir()  # the store's own folder
