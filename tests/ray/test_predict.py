"""`raydr predict` that is killed in the midst: run again it does what is left, and its table is as if undisturbed."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from raydr.config.jobs import PredictSettings
from raydr.engine.heatmap import heat_map, overlay
from raydr.engine.package import ModelDescription, load_model, save_model
from raydr.errors import InputError
from raydr.images.jpeg import decode
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier, referable_probability
from raydr.workflows.predict import predict

pytestmark = pytest.mark.ray
COUNT, PER_PART = 384, 48


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, write_photographs, write_broken):
    """A folder with photographs, some of them broken, and a model."""
    folder = tmp_path_factory.mktemp("predict")
    write_photographs(folder / "photographs", COUNT)
    write_broken(folder / "photographs" / "broken")
    torch.manual_seed(3)
    network = Classifier(create_backbone("test_resnet"), 5)
    with torch.no_grad():  # a fresh head barely tells pictures apart
        network.head.weight.mul_(30)
    save_model(str(folder / "model"), network, ModelDescription("test_resnet", "grades", Preprocess(side_px=64)))
    return folder


def start(workplace):
    settings = {
        "heat_maps": "true",
        "images_per_part": PER_PART,
        "batch_size": 16,
        "tracking.enabled": "false",
        "cluster.local_cpus": 2,
        "cluster.object_store_mib": 100,
    }
    command = [sys.executable, "-m", "raydr", "predict", "--model", "model", "--images", "photographs"]
    command += ["--out", "scores.parquet", *(f"--set={key}={value}" for key, value in settings.items())]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        command, cwd=workplace, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture(scope="module")
def killed(workplace):
    """Photographs whose scores were on disk when the driver was killed with SIGKILL."""
    process, lines = start(workplace), []
    while f"of {COUNT + 3} photographs, " not in (lines or [""])[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (workplace / "scores.parquet").exists()
    parts = [pq.read_table(file) for file in (workplace / "scores.parts").glob("part-*.parquet")]
    return sum(part.num_rows for part in parts)


@pytest.fixture(scope="module")
def finished(workplace, killed):
    process = start(workplace)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    return output


def test_after_a_kill_the_same_command_scores_only_what_no_part_had(killed, finished):
    assert PER_PART <= killed < COUNT
    assert f"{killed} of {COUNT + 3} photographs were scored before" in finished
    shown = [int(line.split()[0]) for line in finished.splitlines() if "photographs, " in line]
    assert shown[-1] == COUNT + 3 - killed


def test_its_table_is_in_the_order_of_the_files_and_has_what_a_plain_loop_finds(workplace, finished):
    rows = pq.read_table(workplace / "scores.parquet").to_pylist()
    files = sorted(str(path) for path in (workplace / "photographs").rglob("*.jpeg") if path.is_file())
    assert [row["image"] for row in rows] == files
    assert not (workplace / "scores.parts").exists()
    errors = {Path(row["image"]).stem: row["error"].split(":")[0] for row in rows if row["error"]}
    assert errors == {name: name for name in ("truncated", "empty", "not_an_image")}
    model = load_model(str(workplace / "model"))
    good = [row for row in rows if row["error"] is None]
    images = np.stack([model.preprocess(Path(row["image"]).read_bytes()) for row in good])
    with torch.inference_mode():
        logits = model.network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    np.testing.assert_allclose([row["probability"] for row in good], referable_probability(logits), atol=1e-5)
    assert np.ptp(referable_probability(logits).numpy()) > 1e-2  # the comparison above could fail


def test_every_readable_photograph_has_its_own_heat_map(workplace, finished):
    rows = pq.read_table(workplace / "scores.parquet").to_pylist()
    named = [row["heat_map"] for row in rows if row["error"] is None]
    assert len(set(named)) == COUNT
    assert sorted(named) == sorted(str(path) for path in (workplace / "scores.heat_maps").iterdir())
    assert all(row["heat_map"] is None for row in rows if row["error"])
    model = load_model(str(workplace / "model"))
    for row in rows[:COUNT:100]:
        picture = model.preprocess(Path(row["image"]).read_bytes())
        heat = heat_map(model.network, torch.from_numpy(picture).permute(2, 0, 1).float() / 255)
        shown = decode(Path(row["heat_map"]).read_bytes(), min_side_px=64)
        expected = decode(overlay(picture, heat), min_side_px=64)
        assert np.abs(shown.astype(int) - expected).mean() < 1


def settings_for(folder, workplace, out, **others):
    content = {"job": "predict", "model": str(workplace / "model"), "tracking": {"enabled": False}, **others}
    return PredictSettings.model_validate({"images": str(folder), "out": str(out), **content})


def test_a_csv_file_has_the_same_columns_and_a_second_run_finds_it_up_to_date(
    ray_cluster, tmp_path, workplace, write_photographs
):
    uris = write_photographs(tmp_path / "new", 3)
    settings = settings_for(tmp_path / "new", workplace, tmp_path / "scores.csv")
    result = predict(settings)
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == uris
    assert list(rows[0]) == ["image", "image_id", "probability", *(f"grade_{grade}" for grade in range(5)), "error"]
    assert all(0 <= float(row["probability"]) <= 1 and row["error"] == "" for row in rows)
    assert result.metrics["num_images"] == 3
    assert predict(settings).up_to_date
    Path(uris[1]).unlink()
    assert predict(settings).metrics["num_images"] == 2


def test_a_file_that_is_no_result_of_ours_is_not_overwritten(tmp_path, workplace):
    for name in ("scores.csv", "scores.csv.parts", "scores.csv.heat_maps"):
        theirs = tmp_path / name
        theirs.write_text("theirs")
        with pytest.raises(InputError, match=f"{name}: out: is there already"):
            predict(settings_for(workplace / "photographs", workplace, tmp_path / "scores.csv"))
        assert theirs.read_text() == "theirs"
        theirs.unlink()
