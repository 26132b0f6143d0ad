"""Commands that are killed, told to stop or lose their MLflow server; run again, they end as if undisturbed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from pretrain_command import HURRIED, first_shown, losses_of, wait_for_state, write_ground, write_settings
from tracking_server import TrackingServer

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, write_photographs):
    """A folder with photographs and their manifest."""
    folder = tmp_path_factory.mktemp("work")
    write_ground(folder, write_photographs)
    return folder


def start(workplace, out, *, tracking="enabled = false", epochs=4):
    """`raydr pretrain` as a process of its own, its images streamed."""
    config = write_settings(workplace, out, tracking=tracking, epochs=epochs)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
    return subprocess.Popen(
        [sys.executable, str(HURRIED), "pretrain", "--config", str(config)],
        env={
            **environment,
            "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def undisturbed(workplace):
    finish(start(workplace, "quiet"))
    return losses_of(workplace, "quiet")


@pytest.fixture(scope="module")
def killed(workplace):
    """The state that there was when a driver was killed with SIGKILL, and the names of all."""
    process = start(workplace, "disturbed")
    state, names = wait_for_state(workplace, "disturbed", beside=set())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return state, names


@pytest.fixture(scope="module")
def terminated(killed, workplace):
    """Status and output of the same command, told to end by SIGTERM in mid-epoch."""
    process = start(workplace, "disturbed")
    time.sleep(1)
    wait_for_state(workplace, "disturbed", beside=killed[1])
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def test_a_killed_driver_is_gone_on_from_its_last_state_in_mid_epoch(killed, terminated):
    state, _ = killed
    assert state["steps_done"] > 0
    assert first_shown(terminated[1]) >= (state["epochs_done"], state["steps_done"])


def test_sigterm_saves_where_the_training_is_says_so_and_ends_with_143(terminated):
    status, output = terminated
    assert status == 143, output
    last = output.splitlines()[-1]
    assert re.fullmatch(
        r"raydr pretrain: terminated: the state at (step \d+ of 50 of epoch \d|the end of epoch \d) is saved; "
        "the same command goes on from there",
        last,
    ), output


def test_a_streamed_training_that_was_killed_and_terminated_ends_like_one_that_was_not(
    terminated, workplace, undisturbed
):
    where = re.search(r"state at (?:step (\d+) of 50 of epoch|the end of epoch) (\d)", terminated[1])
    done = (int(where[2]) - 1, int(where[1])) if where[1] else (int(where[2]), 0)
    output = finish(start(workplace, "disturbed"))
    assert first_shown(output) >= done
    assert losses_of(workplace, "disturbed") == pytest.approx(undisturbed, abs=1e-5)


@pytest.fixture
def tracking_server(tmp_path):
    server = TrackingServer(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def read_up_to(process, text):
    lines = []
    while not lines or text not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)


@pytest.mark.survival
def test_an_mlflow_server_that_dies_in_mid_training_has_every_epoch_in_the_end(workplace, tracking_server):
    process = start(workplace, "tracked", tracking=f'uri = "{tracking_server.uri}"', epochs=12)
    read_up_to(process, "pretrain epoch 1/12  loss")
    tracking_server.kill()
    read_up_to(process, "pretrain epoch 3/12  loss")
    tracking_server.start()
    finish(process)
    client = MlflowClient(tracking_server.uri)
    run_id = json.loads((workplace / "tracked" / "result.json").read_text())["mlflow_run_id"]
    points = client.get_metric_history(run_id, "loss")
    assert [point.step for point in points] == list(range(12)), "each epoch once, in its order"
    assert [point.value for point in points] == pytest.approx(losses_of(workplace, "tracked"))
    assert client.get_run(run_id).info.status == "FINISHED"
    assert client.get_metric_history(run_id, "live/images_per_s")
