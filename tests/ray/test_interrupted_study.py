"""`raydr study` killed with SIGKILL in the middle; run again, it trains nothing again that was done."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raydr.images.phantom import write_phantoms

pytestmark = [pytest.mark.ray, pytest.mark.survival]

STUDY = """
job = "study"
out = "{folder}/study"
budgets = [8, 16]
draws = 2
[preprocess]
side_px = 32
[index]
near_identical = false
[index.splits]
val_fraction = 0.25
[index.sources.phantoms]
layout = "eyepacs"
allow_partial = true
images = "{folder}/phantoms/images"
labels = "{folder}/phantoms/trainLabels.csv"
[arms.scratch]
kind = "finetune"
model.backbone = "test_resnet"
model.weights = "none"
optim.epochs = 2
optim.batch_size = 4
[arms.student]
kind = "distill"
teacher = "scratch"
model.backbone = "test_resnet"
model.weights = "none"
optim.epochs = 20
optim.batch_size = 4
distillation.teacher_views = 1
[cluster]
local_cpus = 2
cpus_per_worker = 0.5
decode_cpus = 0.5
object_store_mib = 100
save_every_steps = 1
[tracking]
enabled = false
"""
CELLS = {
    f"{arm}/{budget}/draw-{draw}/seed-0" for arm in ("scratch", "student") for budget in (8, 16) for draw in (0, 1)
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with phantoms and ``study.toml``."""
    folder = tmp_path_factory.mktemp("study")
    write_phantoms(str(folder / "phantoms"), num_patients=24, seed=0, side_px=64)
    (folder / "study.toml").write_text(STUDY.format(folder=folder))
    return folder


def start(workplace):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "raydr", "study", "--config", str(workplace / "study.toml")],
        env={**environment, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def cells_in(output):
    """The cells whose end was printed."""
    return re.findall(r"\d+ of 8  (\S+)  validation AUC", output)


def records(workplace):
    found = (workplace / "study" / "cells").glob("*/*/*/*/result.json")
    return {"/".join(path.parts[-5:-1]): path.read_bytes() for path in found}


def histories(workplace):
    """What saved states have of the epochs done, by cell; of those with at least one."""
    found = {}
    for path in sorted((workplace / "study").glob("cells/student/*/*/*/states/*/*/state.json")):
        with contextlib.suppress(OSError, ValueError):  # deleted, or being written
            if rows := json.loads(path.read_text())["history"]:
                found["/".join(path.parts[-8:-4])] = rows
    return found


@pytest.fixture(scope="module")
def killed(workplace):
    """Records and states after the kill, which comes as a cell is done and a student has a state."""
    process, lines = start(workplace), []
    while not cells_in("".join(lines)):
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    while not histories(workplace):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(2.0)  # workers end when they miss their driver
    return records(workplace), histories(workplace)


def test_what_was_done_is_not_done_again_and_a_cell_under_way_goes_on(killed, workplace):
    done, under_way = killed
    assert 0 < len(done) < len(CELLS)
    assert under_way
    assert not (workplace / "study" / "openings.json").exists()
    process = start(workplace)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    after = records(workplace)
    assert set(after) == CELLS
    assert {name: after[name] for name in done} == done
    assert not set(done) & set(cells_in(output))
    for name, rows in under_way.items():
        assert json.loads(after[name])["history"][: len(rows)] == rows, (
            "the seconds of its epochs are those before the kill"
        )
    assert len(json.loads((workplace / "study" / "openings.json").read_text())) == 1
