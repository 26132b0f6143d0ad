"""A model that goes into MLflow comes out the same, without a pickle, there or planted later."""

import base64
import hashlib
import io
import json
import math
import pickle
import re
import shutil
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from PIL import Image

from raydr.engine.package import ModelDescription, load_model, save_model
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier
from raydr.tracking.models import LoggedModel, fetch_model, log_model
from raydr.tracking.runs import NoTracker
from raydr.tracking.store import open_client

PREPROCESS = Preprocess(side_px=32, through_px=48)


def _jpeg(seed: int) -> bytes:
    """A disc of smooth colours on black."""
    rows, columns = np.mgrid[-60:60, -80:80]
    coarse = np.random.default_rng(seed).integers(60, 255, (6, 8, 3), dtype=np.uint8)
    colours = np.array(Image.fromarray(coarse).resize((160, 120)))
    colours[rows**2 + columns**2 > 55**2] = 0
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


def _save(folder: Path, num_outputs: int) -> Classifier:
    torch.manual_seed(num_outputs)
    network = Classifier(create_backbone("resnet10t"), num_outputs).eval()
    head = "binary" if num_outputs == 1 else "grades"
    save_model(str(folder), network, ModelDescription("resnet10t", head, PREPROCESS))
    return network


def _stored(tracker, logged: LoggedModel) -> Path:
    client = open_client(tracker.uri)
    name, version = logged.uri.removeprefix("models:/").split("/")
    return Path(client.get_model_version_download_uri(name, version))


@pytest.fixture(scope="module")
def made(tracker, tmp_path_factory):
    """The network with five grades, its folder, its run and what MLflow made of it."""
    folder = tmp_path_factory.mktemp("student")
    network = _save(folder, 5)
    (folder / "optimizer.pt").write_bytes(b"not for serving")
    run_id = tracker.start_run("distill")
    logged = log_model(
        tracker,
        run_id,
        model_folder=str(folder),
        example_jpeg=_jpeg(0),
        registered_name="fundus",
        tags={"role": "student"},
    )
    return network, folder, run_id, logged


@pytest.fixture(scope="module")
def served(tracker, made):
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(_stored(tracker, made[3])))


def _by_hand(network: Classifier, jpegs: list[bytes]) -> np.ndarray:
    """Softmax [N, 5] of the network, from the definition."""
    pixels = np.stack([PREPROCESS(jpeg) for jpeg in jpegs]).astype(np.float32) / 255
    with torch.no_grad():
        logits = network(torch.from_numpy(pixels.transpose(0, 3, 1, 2))).numpy().astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def test_the_served_model_says_what_the_network_says(made, served):
    jpegs = [_jpeg(seed) for seed in range(40)]  # more than one batch
    answer = served.predict(pd.DataFrame({"image": jpegs}))
    grades = _by_hand(made[0], jpegs)
    assert list(answer.columns) == ["probability", *(f"grade_{grade}" for grade in range(5)), "error"]
    np.testing.assert_allclose(answer[[f"grade_{grade}" for grade in range(5)]].to_numpy(), grades, atol=1e-5)
    np.testing.assert_allclose(answer["probability"], grades[:, 2:].sum(axis=1), atol=1e-5)
    assert np.ptp(answer["probability"]) > 1e-4, "the photographs must differ for the comparison to mean something"
    assert answer["error"].isna().all()


def test_a_broken_picture_gets_an_error_and_the_others_their_scores(served):
    whole = _jpeg(1)
    answer = served.predict(pd.DataFrame({"image": [whole, whole[: len(whole) // 2], b"", b"text", whole]}))
    alone = served.predict(pd.DataFrame({"image": [whole]}))["probability"][0]
    found = answer["probability"].tolist()
    assert [found[0], found[4]] == pytest.approx([alone, alone], abs=1e-6)
    assert found[1:4] == [None] * 3  # NaN would be no JSON
    reasons = [None if error is None else error.partition(":")[0] for error in answer["error"]]
    assert reasons == [None, "truncated", "empty", "not_an_image", None]


def test_nothing_but_broken_pictures_is_no_crash(served):
    answer = served.predict(pd.DataFrame({"image": [b"", b"text"]}))
    assert answer["probability"].isna().all()
    assert answer["error"].notna().all()


def test_base64_text_is_taken_as_the_bytes_it_stands_for(served):
    jpeg = _jpeg(2)
    wrapped = base64.encodebytes(jpeg).decode()
    answer = served.predict(pd.DataFrame({"image": [wrapped, "%"]}))
    assert answer["probability"][0] == served.predict(pd.DataFrame({"image": [jpeg]}))["probability"][0]
    assert answer["error"][1].startswith("not_base64")


def test_what_is_stored_has_no_pickle_and_all_that_serving_needs(tracker, made):
    stored = _stored(tracker, made[3])
    files = {path.relative_to(stored).as_posix() for path in stored.rglob("*") if path.is_file()}
    assert not {file for file in files if file.endswith((".pkl", ".pickle", ".pt", ".pth", ".pyc"))}
    assert {file for file in files if file.startswith("artifacts/")} == {
        "artifacts/model/model.json",
        "artifacts/model/model.safetensors",
    }
    assert {"serve.py", "code/raydr/engine/package.py", "code/raydr/images/preprocess.py"} <= files
    example = json.loads((stored / "input_example.json").read_text())
    assert base64.b64decode(example["data"][0][0]) == _jpeg(0)
    requirements = (stored / "requirements.txt").read_text().split()
    assert {line.partition("==")[0] for line in requirements} >= {
        "torch",
        "torchvision",
        "timm",
        "safetensors",
        "simplejpeg",
        "mlflow",
    }
    assert all("==" in line and "+" not in line for line in requirements)


def test_the_signature_names_what_goes_in_and_out(served):
    assert [(column.name, column.type.name) for column in served.metadata.signature.inputs] == [("image", "binary")]
    outputs = [(column.name, column.type.name, column.required) for column in served.metadata.signature.outputs]
    assert outputs[0] == ("probability", "double", True)
    assert [name for name, _, _ in outputs[1:6]] == [f"grade_{grade}" for grade in range(5)]
    assert outputs[6] == ("error", "string", False)


def test_a_binary_model_is_served_without_grades(tracker, tmp_path):
    import mlflow.pyfunc

    network = _save(tmp_path / "teacher", 1)
    run_id = tracker.start_run("finetune")
    logged = log_model(
        tracker, run_id, model_folder=str(tmp_path / "teacher"), example_jpeg=_jpeg(0), registered_name="teacher"
    )
    answer = mlflow.pyfunc.load_model(str(_stored(tracker, logged))).predict(pd.DataFrame({"image": [_jpeg(3)]}))
    pixels = torch.from_numpy(PREPROCESS(_jpeg(3)).transpose(2, 0, 1)[None].astype(np.float32) / 255)
    with torch.no_grad():
        logit = float(network(pixels)[0, 0])
    assert list(answer.columns) == ["probability", "error"]
    assert answer["probability"][0] == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)


def test_the_model_belongs_to_its_run_and_carries_its_tags(tracker, made):
    _, _, run_id, logged = made
    client = open_client(tracker.uri)
    version = client.get_model_version("fundus", logged.version)
    assert version.run_id == run_id
    assert version.tags["role"] == "student"
    (output,) = client.get_run(run_id).outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert (model.source_run_id, model.status.name, model.tags["role"]) == (run_id, "READY", "student")
    assert model.artifact_location == version.source


def test_a_fetched_model_is_the_one_that_was_logged(tracker, made, elsewhere):
    network, _, run_id, logged = made
    open_client(tracker.uri).set_registered_model_alias("fundus", "fetched", logged.version)
    (output,) = open_client(tracker.uri).get_run(run_id).outputs.model_outputs
    for uri in (
        "models:/fundus@fetched",
        logged.uri,
        f"models:/{output.model_id}",
        f"runs:/{run_id}/model",
        f"runs:/{run_id}",
    ):
        loaded = load_model(fetch_model(uri, tracker_uri=tracker.uri)).network.state_dict()
        assert all(torch.equal(value, loaded[key]) for key, value in network.state_dict().items())
    assert not list(elsewhere.iterdir())


def test_the_store_of_a_fetched_model_may_come_from_the_environment(tracker, made, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.uri)
    assert fetch_model(made[3].uri, tracker_uri=None) == fetch_model(made[3].uri, tracker_uri=tracker.uri)


@pytest.mark.parametrize(
    "uri",
    [
        "models:/fundus@nobody",
        "models:/fundus/99",
        "models:/other/1",
        "models:/m-0",
        "runs:/abc/model",
        "models:/",
        "fundus",
    ],
)
def test_a_model_that_does_not_exist_is_one_clear_line(tracker, made, uri):
    with pytest.raises(InputError) as caught:
        fetch_model(uri, tracker_uri=tracker.uri)
    assert str(caught.value).startswith(f"{uri}: ")
    assert "\n" not in str(caught.value)


def test_without_a_store_a_model_cannot_be_fetched_and_the_line_says_why(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match=r"set tracking\.uri or MLFLOW_TRACKING_URI"):
        fetch_model("models:/fundus/1", tracker_uri=None)


def test_a_model_of_an_unknown_run_is_logged_without_one(tracker, made):
    logged = log_model(tracker, "", model_folder=str(made[1]), example_jpeg=_jpeg(0))
    assert logged.version is None
    assert Path(fetch_model(logged.uri, tracker_uri=tracker.uri), "model.safetensors").is_file()


def test_a_bare_backbone_is_refused_and_leaves_no_model_behind(tracker, tmp_path):
    network = _save(tmp_path, 1)
    save_model(str(tmp_path), network, ModelDescription("resnet10t", None, PREPROCESS))
    run_id = tracker.start_run("pretrain")
    with pytest.raises(InputError, match="without a head"):
        log_model(tracker, run_id, model_folder=str(tmp_path), example_jpeg=_jpeg(0), registered_name="bare")
    assert not open_client(tracker.uri).get_run(run_id).outputs.model_outputs
    assert not open_client(tracker.uri).search_registered_models("name = 'bare'")


def test_without_tracking_nothing_is_logged():
    assert log_model(NoTracker(), "", model_folder="missing", example_jpeg=b"") == LoggedModel("")


class Canary:
    """What makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_a_planted_pickle_is_never_loaded(tracker, made, tmp_path):
    sung = tmp_path / "sung"
    pickled = pickle.dumps(Canary(sung))
    pickle.loads(pickled)
    assert sung.exists(), "the canary must be able to sing"
    sung.unlink()
    stored = shutil.copytree(_stored(tracker, made[3]), tmp_path / "stored")
    for name in ("python_model.pkl", "artifacts/model/optimizer.pt", "artifacts/model/model.pkl", "code/raydr/x.pkl"):
        (stored / name).write_bytes(pickled)
    client = open_client(tracker.uri)
    version = client.create_model_version("fundus", str(stored)).version
    load_model(fetch_model(f"models:/fundus/{version}", tracker_uri=tracker.uri))
    (stored / "artifacts/model/model.safetensors").write_bytes(pickled)
    with pytest.raises(InputError, match="torn or replaced"):
        load_model(fetch_model(f"models:/fundus/{version}", tracker_uri=tracker.uri))
    description = stored / "artifacts/model/model.json"
    digest = hashlib.sha256(pickled).hexdigest()
    description.write_text(json.dumps({**json.loads(description.read_text()), "weights_sha256": digest}))
    with pytest.raises(InputError, match="not a safetensors file"):
        load_model(fetch_model(f"models:/fundus/{version}", tracker_uri=tracker.uri))
    assert not sung.exists()


def test_a_model_whose_flavour_was_changed_to_a_pickle_is_not_loaded_for_serving(tracker, made, tmp_path):
    import mlflow.pyfunc

    sung = tmp_path / "sung"
    stored = shutil.copytree(_stored(tracker, made[3]), tmp_path / "stored")
    (stored / "python_model.pkl").write_bytes(cloudpickle.dumps(Canary(sung)))
    described = (stored / "MLmodel").read_text()
    changed = re.sub(r"model_code_path: .*", "python_model: python_model.pkl", described)
    assert changed != described
    (stored / "MLmodel").write_text(changed)
    with pytest.raises(MlflowException, match="pickle"):
        mlflow.pyfunc.load_model(str(stored))
    assert not sung.exists()
