"""`raydr plan` from a file: what it prints, what it leaves, what it measures and what it refuses."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from raydr import cli, storage
from raydr.config.load import check, load
from raydr.data.manifest import SCHEMA
from raydr.images.jpeg import encode
from raydr.workflows.console import duration
from raydr.workflows.plan_simulation import SHARDS_PICTURES_PER_TASK

GIVEN = """\
job = "plan"
out = "plan"
[images]
num_images = 40000
original_bytes = 1e6
shard_bytes = 5e4
[rates]
original_per_s = 10.0
shard_per_s = 100.0
prepare_per_s = 5.0
step_per_s = 100.0
[machines]
gpu_nodes = 2
gpus_per_node = 2
cpus_per_gpu_node = 8
"""
CALIBRATED = """\
job = "plan"
out = "plan"
calibrate = true
[calibration]
seconds = 0.01
[images]
manifest = "manifest.parquet"
[machines]
gpu_nodes = 1
gpus_per_node = 1
cpus_per_gpu_node = 4
[preprocess]
side_px = 32
[prepare]
side_px = 64
[pretrain.model]
backbone = "resnet10t"
[pretrain.optim]
batch_size = 4
"""


SIMULATED = """\
[prices]
gpu_hour = 2.0
cpu_hour = 0.1
[simulation]
repetitions = 20
lost_per_hour = 0.5
step_spread = 0.0
[simulation.fleets.small]
gpu_nodes = 1
[simulation.fleets.large]
gpu_nodes = 4
gpus_per_node = 4
cpus_per_gpu_node = 16
[simulation.fleets.blind]
gpu_nodes = 2
cpus_per_gpu_node = 4
[pretrain.model]
backbone = "resnet10t"
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def planned(text: str, *arguments: str) -> int:
    """The exit status of a plan of some settings."""
    Path("plan.toml").write_text(text)
    return cli.main(["plan", "--config", "plan.toml", *arguments])


def result() -> dict[str, Any]:
    """What a plan left."""
    found: dict[str, Any] = json.loads(Path("plan/result.json").read_text())
    return found


def test_a_plan_prints_what_is_needed_and_leaves_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(GIVEN) == 0
    shown = capsys.readouterr().out
    assert "4 GPUs on 2 nodes: 400 images/s when nothing holds them up" in shown
    # 400 / (10 * 0.8) = 50 cores, 8 of them there; 1 node of 64 to add. 400 / (100 * 0.8) = 5.
    rows = [" ".join(line.split()) for line in shown.splitlines()]
    assert "originals 50 8 1 400.0 MB/s 40.0 GB 4.0 TB 1.0 GB" in rows
    assert any(row.startswith("prepared 5 8 0 ") for row in rows)
    assert "as they are originals decoding 16% - 10 min 25 s 17 h 21 min" in rows
    assert "1 node more originals GPUs 100% - 1 min 40 s 2 h 46 min" in rows
    assert result()["metrics"]["plan"]["originals"]["cores_needed"] == 50
    assert result()["mlflow_run_id"] == ""
    assert not list(Path().rglob("mlflow.db"))


def test_the_overlay_of_a_plan_is_one_for_the_jobs_to_come(capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(GIVEN) == 0
    overlay = Path(result()["artifacts"]["cluster"])
    assert check(overlay) == "overlay"
    assert overlay.read_text() in capsys.readouterr().out
    cluster = load("predict", [overlay], overrides={"model": "m", "images": "i", "out": "o.parquet"}).cluster
    assert (cluster.num_workers, cluster.cpus_per_worker, cluster.gpus_per_worker, cluster.decode_cpus) == (4, 2, 1, 1)


def test_a_plan_made_before_is_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(GIVEN) == 0
    first = capsys.readouterr().out
    assert planned(GIVEN) == 0
    again = capsys.readouterr().out
    assert "up to date" in again
    assert again.split("\n\n")[1:] == first.split("\n\n")[1:]
    assert planned(GIVEN, "--set", "machines.gpu_nodes=3") == 0
    assert "6 GPUs on 3 nodes" in capsys.readouterr().out


def test_what_is_not_given_is_measured_and_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    _manifest(num_images=6, num_train=4)
    assert planned(CALIBRATED, "--set", "rates.prepare_per_s=7.5") == 0
    metrics = result()["metrics"]
    assert metrics["rates"]["prepare_per_s"] == 7.5
    assert set(metrics["measured"]) == {"original_per_s", "shard_per_s", "step_per_s"}
    assert (metrics["workload"]["num_images"], metrics["workload"]["num_train"]) == (6, 4)
    sizes = [path.stat().st_size for path in Path().glob("*.jpeg")]
    assert metrics["workload"]["original_bytes"] == pytest.approx(np.mean(sizes))
    shown = capsys.readouterr().out
    assert "measured on 6 photographs" in shown
    assert "WARNING: the step rate was measured on a CPU and says nothing of a GPU's" in " ".join(shown.split())


def test_given_rates_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("raydr.workflows.plan.measure_step_rate", measured)
    monkeypatch.setattr("raydr.workflows.plan.measure_decoding", measured)
    assert planned("calibrate = true\n" + GIVEN) == 0


def test_too_few_images_for_the_gpus_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(GIVEN.replace("40000", "5")) == 2
    assert "raydr: images: 5 images in batches of 256 leave fewer than 2 a step for each of 4 GPUs" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("gib", "expected"),
    [(20, "training decodes them once"), (18, "every epoch decodes them")],  # 40,000 of 150,528 bytes are 6.02 GB
)
def test_it_says_whether_decoded_pictures_stay_in_memory(
    capsys: pytest.CaptureFixture[str], gib: int, expected: str
) -> None:
    assert planned(GIVEN, "--set", f"machines.object_store_gib={gib}") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "the training images decoded are 6.0 GB" in shown
    assert expected in shown


def test_fleets_are_simulated_without_losses_and_with_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(GIVEN + SIMULATED) == 0
    shown = capsys.readouterr().out
    rows = [" ".join(line.split()) for line in shown.splitlines()]
    # 2 GPUs take 200 images/s; 4 spare cores decode 4 * 100 * 0.8 = 320 prepared pictures/s.
    assert "small 2 prepared 200 3 min 20 s 100% 1 min 06 s GPUs" in rows
    assert any(row.startswith("large 16 prepared 1,") and row.endswith("GPUs") for row in rows)
    assert "blind 4 prepared - - - - no image ever comes: no core decodes" in rows
    assert "blind with notice never ends - - - - -" in rows
    kept = {one["name"]: one for one in result()["metrics"]["simulation"]}
    assert list(kept["small"]["courses"]) == ["none", "with notice", "without notice"]
    assert list(kept["large"]["courses"]) == ["none", "with notice", "without notice", "with notice, elastic"]
    none, lost = kept["large"]["courses"]["none"], kept["large"]["courses"]["without notice"]
    # A hundred epochs, each with a state and a pause, after six minutes of waiting and half a minute of starting.
    expected = 360 + 30 + 100 * (40_000 * (1 / none["images_per_s"]) + 0.3 + 0.4)
    assert none["total_s"]["mean"] == pytest.approx(expected)
    assert none["cost"]["mean"] == pytest.approx(2.0 * 16 * (expected - 360) / 3600)
    assert lost["losses"] > 0 == none["losses"]
    assert f"large without notice {kept_time(lost)}" in " ".join(shown.split())


def kept_time(course: dict[str, Any]) -> str:
    return duration(course["total_s"]["median"])


def test_a_simulation_made_before_is_shown_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planned(GIVEN + SIMULATED) == 0
    first = capsys.readouterr().out
    monkeypatch.setattr("raydr.workflows.plan.simulate_plan", None)
    assert planned(GIVEN + SIMULATED) == 0
    again = capsys.readouterr().out
    assert "simulated, 20 times:" in again
    assert again.split("\n\n")[1:] == first.split("\n\n")[1:]


def test_pictures_that_stay_in_memory_are_decoded_once(capsys: pytest.CaptureFixture[str]) -> None:
    slow = ("--set", "rates.shard_per_s=1.0")
    assert planned(GIVEN + SIMULATED, *slow) == 0
    assert "small 2 prepared 3" in " ".join(capsys.readouterr().out.split())
    assert planned(GIVEN + SIMULATED, *slow, "--set", "machines.object_store_gib=20") == 0
    assert "small 2 memory 200" in " ".join(capsys.readouterr().out.split())
    course = result()["metrics"]["simulation"][0]["courses"]["none"]
    # 4 cores at 0.8 of a picture a second decode 40,000 in 12,500 s, before the first epoch.
    assert course["shares"]["start"] * course["total_s"]["mean"] == pytest.approx(360 + 30 + 12_500)


def test_the_figures_of_a_simulation_are_those_of_the_streams_and_of_the_training() -> None:
    from raydr.config.simulation import SimulationSettings
    from raydr.config.site import ClusterSettings
    from raydr.data import order

    assert order._MIXED_ROWS == SHARDS_PICTURES_PER_TASK
    default = SimulationSettings.model_fields["save_every_minutes"].default
    assert default == ClusterSettings().save_every_minutes == 10


def _manifest(*, num_images: int, num_train: int) -> None:
    rows = []
    for number in range(num_images):
        picture = np.zeros((120, 160, 3), np.uint8)
        cv2.circle(picture, (80, 60), 55, (200, 90, 40 + number), thickness=-1)
        path = Path(f"{number}.jpeg").absolute()
        path.write_bytes(encode(picture))
        split = "train" if number < num_train else "test"
        known = {"image_id": f"i{number}", "uri": str(path), "dataset": "d", "split": split}
        rows.append({name: known.get(name) for name in SCHEMA.names})
    storage.write_table("manifest.parquet", pa.Table.from_pylist(rows, schema=SCHEMA))
