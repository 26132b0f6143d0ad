"""Learning loops on Ray Train: two workers, a killed worker, too little room, a loop that fails."""

import os
import signal

import numpy as np
import psutil
import pyarrow as pa
import pytest
import ray.data

from raydr.config.images import DataSettings
from raydr.config.site import ClusterSettings
from raydr.config.stages import PretrainStage
from raydr.data.nodes import Node, alive_nodes
from raydr.data.streams import collect_pool
from raydr.engine.package import read_description
from raydr.errors import InputError, RunError
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.training.room import check_room
from raydr.training.trainer import train
from raydr.training.worker import LABELLED, STREAM, VALIDATION, Work
from raydr.workflows import images
from raydr.workflows.images import Rows, training_stream

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
    """With a stream that is held in memory."""
    return {
        STREAM: blocks(NUM_IMAGES, seed=0, graded=False),
        LABELLED: blocks(20, seed=1, graded=True),
        VALIDATION: blocks(17, seed=2, graded=True),  # odd: every image counts whatever the number of workers
    }


@pytest.fixture
def photographs(ray_cluster, tmp_path, write_photographs):
    """The stream of training photographs, given the object store of the cluster's only node."""
    uris = write_photographs(tmp_path / "photographs", NUM_IMAGES)
    manifest = pa.table({"uri": uris, "grade": np.zeros(NUM_IMAGES, dtype=np.int8)})
    none = np.empty(0, dtype=np.int64)
    rows = Rows(manifest, np.arange(NUM_IMAGES), none, none)
    data = DataSettings(manifest="manifest.parquet")

    def stream(monkeypatch, store_bytes):
        monkeypatch.setattr(images, "alive_nodes", lambda: [Node(2.0, 0.0, store_bytes, {}), Node(0.0, 0.0, 1.0, {})])
        return training_stream(data, rows, preprocess=Preprocess(side_px=SIDE_PX), cluster=CLUSTER, seed=0)

    return stream


def test_few_photographs_are_held_in_memory_and_many_are_streamed(photographs, monkeypatch):
    size = NUM_IMAGES * 3 * SIDE_PX**2
    held, streamed = (photographs(monkeypatch, share * size) for share in (4.0, 3.0))
    assert held.clock is None
    assert streamed.clock is not None
    for stream in (held, streamed):
        assert stream.num_images == NUM_IMAGES
        assert collect_pool(stream.dataset, side_px=SIDE_PX).row.tolist() == list(range(NUM_IMAGES))


def orders(folder, *, epochs, learning_rate=1e-3, clock=None):
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
        clock=clock,
        whole=(LABELLED, VALIDATION),
        threads=1,
    )


def test_a_killed_worker_costs_its_epoch_and_no_more(datasets, photographs, monkeypatch, tmp_path):
    seen, killed = [], []
    stream = photographs(monkeypatch, 0.0)
    datasets = {**datasets, STREAM: stream.dataset}
    order = orders(tmp_path, epochs=4, clock=stream.clock.name)

    def on_epoch(metrics):
        seen.append(int(metrics["epoch"]))
        if metrics["epoch"] == 1 and not killed:
            workers = [
                process
                for process in psutil.Process().children(recursive=True)  # of this test run's cluster and no other
                if "RayTrainWorker" in " ".join(process.cmdline())
            ]
            killed.append(workers[0].pid)
            os.kill(workers[0].pid, signal.SIGKILL)

    result = train(order, datasets, CLUSTER, folder=str(tmp_path), name="killed", on_epoch=on_epoch)
    assert killed
    assert [row["epoch"] for row in result.history] == [0.0, 1.0, 2.0, 3.0]
    assert sorted(set(seen)) == [0, 1, 2, 3]
    assert all(np.isfinite(row["loss"]) and 0 <= row["knn_auc"] <= 1 for row in result.history)
    assert read_description(str(tmp_path / "model")).backbone == "test_resnet"
    # A driver killed between the last epoch and its result finds the training finished and trains no more.
    (tmp_path / "model" / "model.json").unlink()
    again = []
    repeated = train(order, datasets, CLUSTER, folder=str(tmp_path), name="killed", on_epoch=again.append)
    assert not again
    assert repeated.history == result.history
    assert read_description(str(tmp_path / "model")).backbone == "test_resnet"
    # The workers that went on saw what they would have seen: the losses are those of a training that nobody disturbed.
    quiet = train(order, datasets, CLUSTER, folder=str(tmp_path), name="quiet", on_epoch=again.append)
    for name in ("loss", "knn_auc"):
        assert [row[name] for row in result.history] == pytest.approx([row[name] for row in quiet.history], abs=1e-5)


def test_a_loss_that_is_no_number_fails_the_run_in_the_workers_own_words_and_is_not_tried_again(datasets, tmp_path):
    broken, lines = orders(tmp_path, epochs=3, learning_rate=1e30), []
    patient = CLUSTER.model_copy(update={"max_failures": 3})
    with pytest.raises(RunError, match=r"the loss is (nan|inf) at epoch \d, step \d, rank \d"):
        train(
            broken,
            datasets,
            patient,
            folder=str(tmp_path),
            name="broken",
            on_epoch=lambda _: None,
            on_line=lines.append,
        )
    assert not lines  # an attempt that fails and is followed by another one is told in a line
    assert not (tmp_path / "model").exists()


def test_a_cluster_that_grows_is_not_asked_for_its_present_size(ray_cluster):
    check_room(
        ClusterSettings(num_workers=8, cpus_per_worker=4.0, gpus_per_worker=1.0, autoscaling=True), alive_nodes()
    )


def test_missing_gpus_are_told_before_they_are_waited_for(ray_cluster):
    with pytest.raises(InputError, match=r"cluster\.gpus_per_worker: 1 workers of 1 GPUs do not fit the cluster's 0"):
        check_room(
            ClusterSettings(num_workers=1, cpus_per_worker=0.5, decode_cpus=0.5, gpus_per_worker=1.0), alive_nodes()
        )


def test_workers_that_leave_no_cpu_for_decoding_are_refused_before_they_hang(ray_cluster):
    greedy = ClusterSettings(num_workers=2, cpus_per_worker=1.0, decode_cpus=1.0)
    with pytest.raises(InputError, match=r"cluster\.num_workers: 2 workers of 1 CPUs leave 0 of the cluster's 2"):
        check_room(greedy, alive_nodes())
