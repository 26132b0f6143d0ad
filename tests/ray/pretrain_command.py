"""`raydr pretrain` as a process of its own, on photographs that it streams; what it showed and what it saved."""

import json
import re
import time
from pathlib import Path

from ground import write_manifest

from raydr import storage
from raydr.training.states import SavedStates

HURRIED = Path(__file__).with_name("hurried_raydr.py")
PRETRAIN = """
job = "pretrain"
out = "{out}"
[data]
manifest = "{folder}/manifest.parquet"
[preprocess]
side_px = 64
[model]
backbone = "test_resnet"
[method]
projection_dim = 16
hidden_dim = 32
[optim]
epochs = {epochs}
batch_size = 8
[tracking]
{tracking}
[cluster]
local_cpus = 2
num_workers = 2
cpus_per_worker = {cpus_per_worker}
decode_cpus = 0.5
threads_per_worker = 1
object_store_mib = 200
save_every_steps = 10
"""
STEPS = 50
"""Of an epoch of 400 photographs."""


def write_ground(folder, write_photographs):
    """Photographs and their manifest in a folder."""
    uris = write_photographs(folder / "photographs", 8 * STEPS)
    write_manifest(folder, uris, split=["train"] * len(uris))


def write_settings(folder, out, *, tracking="enabled = false", epochs=4, cpus_per_worker=0.5):
    """A job's file, whose results will lie beside it."""
    config = folder / f"{out}.toml"
    config.write_text(
        PRETRAIN.format(
            out=folder / out, folder=folder, tracking=tracking, epochs=epochs, cpus_per_worker=cpus_per_worker
        )
    )
    return config


def losses_of(folder, out):
    """Of every epoch."""
    result = json.loads((folder / out / "result.json").read_text())
    return [row["loss"] for row in result["metrics"]["history"]]


def first_shown(output):
    """Epochs done and steps done in the first figures that a command showed."""
    found = re.search(r"pretrain epoch (\d+)/\d+ step (\d+)/", output)
    assert found, output
    return int(found[1]) - 1, int(found[2])


def wait_for_state(folder, out, *, beside):
    """The first state in the middle of an epoch that is none of some known ones, and the names of all."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        for ray_folder in (folder / out / "ray").glob("pretrain-*"):
            states = SavedStates(*storage.locate(str(ray_folder)))
            names = states.names()
            if fresh := [name for name in names if name.startswith("step_") and name not in beside]:
                return states.describe(fresh[0]), set(names)
        time.sleep(0.02)
    raise TimeoutError(f"no state in {folder / out}")
