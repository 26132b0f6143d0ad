"""`raydr search` killed with SIGKILL in mid-search; run again, it tries no trial again that was done."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ground import write_manifest, write_teacher

pytestmark = [pytest.mark.ray, pytest.mark.survival]

SEARCH = """
job = "search"
out = "{folder}/search"
teacher = "{folder}/teacher"
trials = {trials}
cpus_per_trial = 1.0
epochs = 4
scheduler = "none"
[data]
manifest = "{folder}/manifest.parquet"
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
local_cpus = 2
num_workers = 1
cpus_per_worker = 0.5
decode_cpus = 0.5
object_store_mib = 200
[tracking]
enabled = false
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, write_photographs):
    """A folder with photographs, their manifest and a teacher."""
    folder = tmp_path_factory.mktemp("search")
    uris = write_photographs(folder / "photographs", 120)
    write_manifest(folder, uris, split=["train"] * 90 + ["val"] * 30, grade=np.resize([0, 3], len(uris)).tolist())
    write_teacher(folder, side_px=64)
    return folder


def start(workplace, *, trials):
    config = workplace / "search.toml"
    config.write_text(SEARCH.format(folder=workplace, trials=trials))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "raydr", "search", "--config", str(config)],
        env={**environment, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def epochs_in(lines):
    """(trial, epoch) of every epoch of a trial that was printed."""
    return [(int(trial), int(epoch)) for trial, epoch in re.findall(r"trial (\d+) epoch (\d+)/4 ", "".join(lines))]


def records(workplace):
    (folder,) = (workplace / "search").glob("trials-*")
    return {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("trial-*.json"))}


@pytest.fixture(scope="module")
def killed(workplace):
    """What a driver had recorded when it was killed: a trial was done, another one under way."""
    process, lines = start(workplace, trials=4), []
    found = set()
    while not found >= {"done", "running"}:
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
        if epochs_in(lines):
            found = {record["status"] for record in records(workplace).values()}
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return records(workplace)


@pytest.fixture(scope="module")
def resumed(killed, workplace):
    """What the same command printed then, to its end."""
    process = start(workplace, trials=4)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output, json.loads((workplace / "search" / "result.json").read_text())["metrics"]


def test_no_trial_that_was_done_is_run_again_and_none_is_lost(killed, resumed):
    done = {record["number"] + 1 for record in killed.values() if record["status"] == "done"}
    output, metrics = resumed
    assert done
    assert not done & {trial for trial, _ in epochs_in([output])}
    assert metrics["num_trials"] == 4
    assert metrics["trial_epochs"] == 16


def test_a_trial_under_way_goes_on_from_its_last_epoch(killed, resumed):
    known = {record["number"] + 1: len(record["history"]) for record in killed.values()}
    seen = epochs_in([resumed[0]])
    assert all(epoch > known.get(trial, 0) for trial, epoch in seen), (known, seen)
    assert len(seen) == 16 - sum(known.values())


def test_more_trials_are_added_to_the_search_that_is_done(resumed, workplace):
    process = start(workplace, trials=5)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "the search goes on: 4 of 5 trials done" in output
    assert epochs_in([output]) == [(5, epoch) for epoch in (1, 2, 3, 4)]
    metrics = json.loads((workplace / "search" / "result.json").read_text())["metrics"]
    assert metrics["trials"][:4] == resumed[1]["trials"]
