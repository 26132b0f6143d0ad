"""An ensemble teaches by the views that its students see, in rounds; killed between two of them and gone on with."""

import json
import signal

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from raydr.engine.package import load_model

pytestmark = pytest.mark.pipeline

CLUSTER = """
[cluster]
local_cpus = 2
num_workers = 2
cpus_per_worker = 0.5
decode_cpus = 0.5
object_store_mib = 200
"""
DATA = """
[data]
manifest = "index/manifest.parquet"
budget = "index/budget.parquet"
"""
JOBS = {
    "index": """
job = "index"
out = "index"
[sources.phantoms]
layout = "eyepacs"
allow_partial = true
images = "phantoms/images"
labels = "phantoms/trainLabels.csv"
[budget]
fraction = 0.5
""",
    "finetune": f"""
job = "finetune"
out = "finetune"
ensemble = 2
{DATA}
[preprocess]
side_px = 48
[model]
backbone = "test_resnet"
weights = "none"
[optim]
epochs = 2
batch_size = 16
ema_decay = 0.9
{CLUSTER}
""",
    "distill": f"""
job = "distill"
out = "distill"
teacher = ["finetune/model", "finetune/model-1"]
rounds = 2
{DATA}
[model]
backbone = "test_vit"
weights = "none"
[distillation]
targets = "online"
feature_weight = 0.5
kept_share = 0.8
[optim]
epochs = 2
batch_size = 16
{CLUSTER}
""",
    "search": f"""
job = "search"
out = "search"
teacher = ["finetune/model", "finetune/model-1"]
trials = 2
epochs = 1
grace_epochs = 1
cpus_per_trial = 0.5
{DATA}
[space]
"distillation.feature_weight" = {{ kind = "choice", values = [0.0, 1.0] }}
[distill.model]
backbone = "test_vit"
weights = "none"
[distill.distillation]
targets = "online"
[distill.optim]
epochs = 1
batch_size = 16
{CLUSTER}
""",
}


@pytest.fixture(scope="module")
def command(workplace, raydr):
    """Runs a verb to its end and returns what it printed."""
    for name, text in JOBS.items():
        (workplace / f"{name}.toml").write_text(text)

    def run(verb):
        process = raydr(verb, "--config", f"{verb}.toml")
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        return output, json.loads((workplace / verb / "result.json").read_text())

    return run


@pytest.fixture(scope="module")
def teacher(command):
    command("index")
    return command("finetune")[1]


@pytest.fixture(scope="module")
def distilled(teacher, command, raydr):
    """What a distillation printed that goes on after being killed when its first round was done, and its result."""
    process = raydr("distill", "--config", "distill.toml")
    lines = []
    while not any("round 1 of 2 is done" in line for line in lines):
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return command("distill")


def test_an_ensemble_is_networks_of_several_seeds_each_a_model_of_its_own(teacher):
    folders = [teacher["artifacts"][name] for name in ("model", "model_1")]
    first, second = (load_model(folder) for folder in folders)
    assert first.description.preprocess == second.description.preprocess
    assert not (first.network.head.weight == second.network.head.weight).all()
    assert teacher["metrics"]["model_1"]["epochs"] == teacher["metrics"]["epochs"] == 2


def test_a_round_that_was_done_is_not_run_again(distilled):
    output, _ = distilled
    assert "round-1 is trained already" in output
    assert "distil round-1 epoch" not in output
    assert "distil epoch 2/2" in output


def test_every_rounds_model_and_figures_are_kept(distilled, workplace):
    _, result = distilled
    assert set(result["artifacts"]) == {"model", "round_1"}
    for folder in result["artifacts"].values():
        assert load_model(folder).description.backbone == "test_vit"
    assert [len(figures["history"]) for figures in result["metrics"]["rounds"]] == [2, 2]
    client = MlflowClient(f"sqlite:///{workplace}/distill/mlflow.db")
    for name in ("loss", "round-1/loss"):
        steps = [found.step for found in client.get_metric_history(result["mlflow_run_id"], name)]
        assert sorted(set(steps)) == [0, 1], name


def test_what_a_teacher_was_asked_beforehand_is_kept_by_image(distilled, workplace):
    manifest = pq.read_table(workplace / "index" / "manifest.parquet").to_pylist()
    train = {row["image_id"] for row in manifest if row["split"] == "train"}
    tables = [pq.read_table(path) for path in (workplace / "distill").glob("teacher-*.parquet")]
    assert len(tables) == 2  # of the ensemble, and of the first round's student
    for table in tables:
        assert table.column_names == ["image_id", "logit_0"]
        assert set(table["image_id"].to_pylist()) == train


def test_trials_ask_the_teacher_too(teacher, command):
    _, result = command("search")
    assert [trial["error"] for trial in result["metrics"]["trials"]] == [None, None]
