"""Learning loops on Ray Train: two workers, a killed worker, too little room, a loop that fails."""

import os
import signal

import numpy as np
import psutil
import pytest
import ray.data

from raydr.config.site import ClusterSettings
from raydr.config.stages import PretrainStage
from raydr.engine.package import read_description
from raydr.errors import InputError, RunError
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.training.trainer import check_room, train
from raydr.training.worker import LABELLED, STREAM, VALIDATION, Work

pytestmark = pytest.mark.ray

SIDE_PX, NUM_IMAGES = 32, 48
CLUSTER = ClusterSettings(num_workers=2, cpus_per_worker=0.5, decode_cpus=0.5, max_failures=1)


def blocks(count, *, seed, graded):
    draw = np.random.default_rng(seed)
    columns = {
        "image": draw.integers(0, 255, (count, 3, SIDE_PX, SIDE_PX), dtype=np.uint8),
        "row": np.arange(count),
        "grade": draw.integers(0, 5, count) if graded else np.full(count, -1),
    }
    table = ray.data.range(count, override_num_blocks=4)
    return table.map_batches(
        lambda batch: {name: values[batch["id"]] for name, values in columns.items()}
    ).materialize()


@pytest.fixture(scope="module")
def datasets(ray_cluster):
    return {
        STREAM: blocks(NUM_IMAGES, seed=0, graded=False),
        LABELLED: blocks(20, seed=1, graded=True),
        VALIDATION: blocks(17, seed=2, graded=True),  # odd: every image counts whatever the number of workers
    }


def orders(folder, *, epochs, learning_rate=1e-3):
    stage = PretrainStage.model_validate(
        {
            "model": {"backbone": "test_resnet"},
            "method": {"hidden_dim": 32, "projection_dim": 16},
            "optim": {"epochs": epochs, "batch_size": 16, "learning_rate": learning_rate, "gradient_clip": None},
        }
    )
    return Work(
        loop="pretrain",
        settings=stage.model_dump(mode="json"),
        assignment=Assignment(
            preprocess=Preprocess(side_px=SIDE_PX), model_folder=f"{folder}/model", seed=0, settings_digest="d"
        ),
        num_streamed=NUM_IMAGES,
        whole=(LABELLED, VALIDATION),
        threads=1,
    )


def test_a_killed_worker_costs_its_epoch_and_no_more(datasets, tmp_path):
    seen, killed = [], []

    def on_epoch(metrics):
        seen.append(int(metrics["epoch"]))
        if metrics["epoch"] == 1 and not killed:
            workers = [
                process
                for process in psutil.process_iter(["cmdline", "pid"])
                if "RayTrainWorker" in " ".join(process.info["cmdline"] or [])
            ]
            killed.append(workers[0].pid)
            os.kill(workers[0].pid, signal.SIGKILL)

    result = train(
        orders(tmp_path, epochs=6), datasets, CLUSTER, folder=str(tmp_path), name="killed", on_epoch=on_epoch
    )
    assert killed
    assert [row["epoch"] for row in result.history] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert sorted(set(seen)) == [0, 1, 2, 3, 4, 5]
    assert all(np.isfinite(row["loss"]) and 0 <= row["knn_auc"] <= 1 for row in result.history)
    assert read_description(str(tmp_path / "model")).backbone == "test_resnet"
    # A driver killed between the last epoch and its result finds the training finished and trains no more.
    (tmp_path / "model" / "model.json").unlink()
    again = []
    repeated = train(
        orders(tmp_path, epochs=6), datasets, CLUSTER, folder=str(tmp_path), name="killed", on_epoch=again.append
    )
    assert not again
    assert repeated.history == result.history
    assert read_description(str(tmp_path / "model")).backbone == "test_resnet"


def test_a_loss_that_is_no_number_fails_the_run_in_the_workers_own_words(datasets, tmp_path):
    broken = orders(tmp_path, epochs=3, learning_rate=1e30)
    quick = CLUSTER.model_copy(update={"max_failures": 0})
    with pytest.raises(RunError, match=r"the loss is (nan|inf) at epoch \d, step \d, rank \d"):
        train(broken, datasets, quick, folder=str(tmp_path), name="broken", on_epoch=lambda _: None)
    assert not (tmp_path / "model").exists()


def test_a_cluster_that_grows_is_not_asked_for_its_present_size(ray_cluster):
    check_room(ClusterSettings(num_workers=8, cpus_per_worker=4.0, gpus_per_worker=1.0, autoscaling=True))


def test_missing_gpus_are_told_before_they_are_waited_for(ray_cluster):
    with pytest.raises(InputError, match=r"cluster\.gpus_per_worker: 1 workers of 1 GPUs do not fit the cluster's 0"):
        check_room(ClusterSettings(num_workers=1, cpus_per_worker=0.5, decode_cpus=0.5, gpus_per_worker=1.0))


def test_workers_that_leave_no_cpu_for_decoding_are_refused_before_they_hang(ray_cluster):
    greedy = ClusterSettings(num_workers=2, cpus_per_worker=1.0, decode_cpus=1.0)
    with pytest.raises(InputError, match=r"cluster\.num_workers: 2 workers of 1 CPUs leave 0 of the cluster's 2"):
        check_room(greedy)
