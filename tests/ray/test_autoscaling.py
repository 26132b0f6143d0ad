"""A cluster that grows for a job and shrinks after it, asserted from what Ray's own autoscaler says of it."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from autoscaled_cluster import AutoscaledCluster
from ground import write_manifest, write_teacher
from sessions import within

pytestmark = pytest.mark.ray

HERE = Path(__file__).parent
SIDE_PX, NUM_TRIALS, PATIENCE_S = 64, 4, 180.0
SEARCH = f"""
job = "search"
out = "search"
teacher = "teacher"
trials = {NUM_TRIALS}
cpus_per_trial = 1.0
gpus_per_trial = 1.0
epochs = 2
scheduler = "none"
[data]
manifest = "manifest.parquet"
[distill]
class_balance = false
[distill.model]
backbone = "test_resnet"
weights = "none"
[distill.optim]
epochs = 1
batch_size = 16
[distill.distillation]
teacher_views = 1
[space]
"distillation.temperature" = {{ kind = "uniform", low = 1.0, high = 5.0 }}
[cluster]
autoscaling = true
decode_label = "tier=cpu"
[tracking]
enabled = false
"""
PRETRAIN = f"""
job = "pretrain"
out = "pretrained"
[data]
manifest = "manifest.parquet"
[preprocess]
side_px = {SIDE_PX}
[model]
backbone = "test_resnet"
[method]
projection_dim = 16
hidden_dim = 32
[optim]
epochs = 10000
batch_size = 8
[cluster]
autoscaling = true
num_workers = 1
max_workers = 2
gpus_per_worker = 1.0
decode_label = "tier=cpu"
threads_per_worker = 1
save_every_minutes = 0.05
[tracking]
enabled = false
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, write_photographs):
    """A folder with photographs, their manifest, a teacher and the settings of two jobs."""
    folder = tmp_path_factory.mktemp("work")
    uris = write_photographs(folder / "photographs", 120)
    write_manifest(folder, uris, split=["train"] * 90 + ["val"] * 30, grade=np.resize([0, 3], len(uris)).tolist())
    write_teacher(folder, side_px=SIDE_PX)
    for name, settings in (("search", SEARCH), ("pretrain", PRETRAIN)):
        (folder / f"{name}.toml").write_text(settings)
    return folder


def running(cluster, folder, *command):
    """A program on the cluster, ended after some minutes if it does not end by itself."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return within(PATIENCE_S, process)


def output_of(cluster, folder, *command):
    """What a program that went well printed."""
    with running(cluster, folder, *command) as process:
        output = process.stdout.read()
        assert process.wait() == 0, output
    return output


def test_trials_bring_the_gpus_that_the_cluster_has_not_got_and_these_go_after_them(tmp_path):
    with AutoscaledCluster() as cluster:
        output = output_of(cluster, tmp_path, str(HERE / "gpu_trials.py"), str(tmp_path))
        cluster.wait_for(lambda nodes: not nodes["gpu"])
        counts = cluster.history("gpu")
    assert json.loads(output.splitlines()[-1]) == {str(number): [2, None] for number in range(NUM_TRIALS)}
    assert (counts[0], max(counts), counts[-1]) == (0, 2, 0)


@pytest.mark.survival
def test_a_search_on_a_cluster_without_a_cpu_or_a_gpu_gets_both_and_leaves_nothing(workplace):
    with AutoscaledCluster() as cluster:
        output = output_of(cluster, workplace, "-m", "raydr", "search", "--config", "search.toml")
        cluster.wait_for(lambda nodes: not nodes["gpu"] and not nodes["decode"])
        gpus, decoders = cluster.history("gpu"), cluster.history("decode")
    assert ": 0 CPUs" in output
    assert "will hang" not in output, "Ray Data's word for a cluster that has yet to grow"
    metrics = json.loads((workplace / "search" / "result.json").read_text())["metrics"]
    assert metrics["trial_epochs"] == 2 * NUM_TRIALS
    assert (gpus[0], max(gpus), gpus[-1]) == (0, 2, 0)
    assert (decoders[0], max(decoders), decoders[-1]) == (0, 1, 0)


@pytest.mark.survival
def test_an_elastic_pretraining_starts_with_the_gpu_there_is_grows_and_is_fed_by_the_decode_node(workplace):
    with AutoscaledCluster(num_gpu_nodes=1, has_state_api=True) as cluster:
        output, command = [], (str(HERE / "growing_raydr.py"), "pretrain", "--config", "pretrain.toml")
        with running(cluster, workplace, *command) as process:
            for line in process.stdout:
                output.append(line)
                if "1 of at most 2 workers are training" in line:
                    before = cluster.history("gpu")
                    cluster.allow_gpu_nodes(2)
                if "2 of at most 2 workers are training" in line:
                    process.send_signal(signal.SIGTERM)
            assert process.wait() == 128 + signal.SIGTERM, "".join(output)
        trainers, tasks = cluster.nodes_of("RayTrainWorker", "ReadChunks")
        cluster.wait_for(lambda nodes: not nodes["gpu"] and not nodes["decode"])
        gpus, gpu_nodes, decode_nodes = cluster.history("gpu"), cluster.nodes("gpu"), cluster.nodes("decode")
    assert before == [0, 1]
    assert gpus == [0, 1, 2, *gpus[3:]]
    assert gpus[-1] == 0
    assert len(trainers) >= 3, "one worker, then two"
    assert set(trainers) == gpu_nodes
    assert len(tasks) > 2
    assert set(tasks) <= decode_nodes
    told = [re.search(r"(\d) of at most", line)[1] for line in output if "of at most" in line]
    assert told == ["1", "2"]
    assert any("is saved; the same command goes on from there" in line for line in output)
