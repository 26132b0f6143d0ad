"""What a training survives: workers, drivers, storage and a tracker that die, on real processes."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest
import ray.data

from raydr import storage
from raydr.config.site import ClusterSettings
from raydr.config.stages import PretrainStage
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.training.states import SavedStates
from raydr.training.trainer import train
from raydr.training.worker import STREAM, Work

pytestmark = pytest.mark.ray

SIDE_PX, NUM_IMAGES, EPOCHS, SAVE_EVERY = 32, 640, 2, 5
STEPS = NUM_IMAGES // 16
CLUSTER = ClusterSettings(num_workers=2, cpus_per_worker=0.5, decode_cpus=0.5, max_failures=1)


@pytest.fixture(scope="module")
def datasets(ray_cluster):
    """Random images, held in memory."""
    images = np.random.default_rng(0).integers(0, 255, (NUM_IMAGES, 3, SIDE_PX, SIDE_PX), dtype=np.uint8)
    table = pa.table({"row": np.arange(NUM_IMAGES)})

    def draw(batch):
        return {"image": images[batch["row"]], "row": batch["row"], "grade": np.full(len(batch["row"]), -1)}

    return {STREAM: ray.data.from_arrow(table).map_batches(draw, batch_format="numpy").materialize()}


def orders(folder):
    stage = PretrainStage.model_validate(
        {
            "model": {"backbone": "test_resnet"},
            "method": {"hidden_dim": 32, "projection_dim": 16},
            "optim": {"epochs": EPOCHS, "batch_size": 16, "learning_rate": 1e-3, "gradient_clip": None},
        }
    )
    assignment = Assignment(
        preprocess=Preprocess(side_px=SIDE_PX),
        model_folder=f"{folder}/model",
        seed=0,
        settings_digest="d",
        save_every_steps=SAVE_EVERY,
    )
    return Work("pretrain", stage.model_dump(mode="json"), assignment, num_streamed=NUM_IMAGES, threads=1)


def learn(datasets, folder, *, name="training", on_figures=lambda _: None):
    """The history of a training and the lines that it told."""
    lines = []
    result = train(
        orders(folder),
        datasets,
        CLUSTER,
        folder=str(folder),
        name=name,
        on_epoch=lambda _: None,
        on_figures=on_figures,
        on_line=lines.append,
    )
    return [row["loss"] for row in result.history], lines


@pytest.fixture(scope="module")
def quiet(datasets, tmp_path_factory):
    """The losses of a training that nobody disturbed."""
    losses, lines = learn(datasets, tmp_path_factory.mktemp("quiet"))
    assert not lines
    assert len(losses) == EPOCHS
    return pytest.approx(losses, abs=1e-5)


def saved(folder):
    """The states below a folder, newest first."""
    return SavedStates(*storage.locate(str(folder)))


def steps_done(state):
    """Of the whole training."""
    return state["epochs_done"] * STEPS + state["steps_done"]


def steps_shown(figures):
    return int(figures["epoch"] * figures["steps_per_epoch"] + figures["step"])


def test_a_worker_killed_in_mid_epoch_costs_no_more_than_the_steps_between_two_states(datasets, quiet, tmp_path):
    shown, killed = [], []

    def on_figures(figures):
        shown.append(steps_shown(figures))
        if shown[-1] > STEPS + SAVE_EVERY and not killed:
            workers = [
                process
                for process in psutil.Process().children(recursive=True)
                if "RayTrainWorker" in process.name() or "RayTrainWorker" in " ".join(process.cmdline())
            ]
            workers[-1].send_signal(signal.SIGKILL)
            killed.append((len(shown), steps_done(saved(tmp_path / "training").describe_newest())))

    losses, lines = learn(datasets, tmp_path, on_figures=on_figures)
    [(count, kept)] = killed
    assert kept > STEPS
    assert shown[count - 1] - kept <= 2 * SAVE_EVERY  # one state may be on its way
    assert all(step >= kept for step in shown[count:])
    assert any("failed" in line for line in lines)
    assert losses == quiet


def test_a_torn_newest_state_and_a_torn_list_of_states_are_passed_over(datasets, quiet, tmp_path):
    learn(datasets, tmp_path)
    states = saved(tmp_path / "training")
    newest, before = states.names()[:2]
    weights = Path(states.path(newest, "model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    ray_list = Path(states.path("checkpoint_manager_snapshot.json"))
    ray_list.write_bytes(ray_list.read_bytes()[:40])
    losses, lines = learn(datasets, tmp_path)
    assert steps_done(states.describe(before)) < STEPS * EPOCHS
    assert [line for line in lines if newest in line and "the one before it" in line]
    assert [line for line in lines if "list of saved states" in line]
    assert losses == quiet


def test_an_object_store_that_goes_away_in_mid_training_costs_no_more_than_a_few_steps(datasets, quiet, object_store):
    folder, outages, shown = f"{object_store.uri}/survival", [], []

    def on_figures(figures):
        shown.append(steps_shown(figures))
        if shown[-1] > 2 * SAVE_EVERY and not outages:
            outages.append(steps_done(saved(f"{folder}/training").describe_newest()))
            object_store.kill()
            time.sleep(4.0)
            object_store.start()
            object_store.wait()

    losses, lines = learn(datasets, folder, on_figures=on_figures)
    [kept] = outages
    assert all(step >= kept for step in shown[3:])
    assert all("storage failed, waiting for it" in line for line in lines)  # Ray's list was due just then
    assert losses == quiet


def changing_cluster(kind):
    """What changing_cluster.py saw: a cluster of several nodes cannot be started beside that of the other tests."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
        "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "0.5",
        "RAY_TRAIN_METRICS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }
    program = [sys.executable, str(Path(__file__).with_name("changing_cluster.py")), kind]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["error"] is None, found
    return found


def shown_since(found):
    """Epochs and share of the epoch in the figures after the loss of a node, and at the state that was kept then."""
    first = found["shown"][0]["steps_per_epoch"]
    later = [row["epoch"] + row["step"] / row["steps_per_epoch"] for row in found["shown"][found["shown_before"] :]]
    return later, found["epochs_done"] + found["kept"] / first


@pytest.mark.survival
def test_a_node_announced_as_lost_is_reason_to_save_and_its_successor_goes_on_from_there():
    found = changing_cluster("drained")
    assert found["kept"] > 0
    later, kept = shown_since(found)
    assert min(later) >= kept
    assert np.isfinite([row["loss"] for row in found["shown"]]).all()


@pytest.mark.survival
def test_a_training_goes_on_with_the_workers_that_are_left_and_grows_again():
    found = changing_cluster("elastic")
    steps = [row["steps_per_epoch"] for row in found["shown"]]
    assert [count for number, count in enumerate(steps) if number == 0 or count != steps[number - 1]] == [106, 100, 106]
    later, kept = shown_since(found)
    assert min(later) >= kept - 0.01  # as far in images, by other steps
    assert np.isfinite([row["loss"] for row in found["shown"]]).all()
