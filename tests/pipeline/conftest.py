"""The command line on phantoms: a folder with made-up eyes and a run small enough for a test."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raydr.images.phantom import write_phantoms

RUN = """
job = "run"
out = "OUT/run"

[preprocess]
side_px = 48

[index.sources.phantoms]
layout = "eyepacs"
allow_partial = true
images = "OUT/phantoms/images"
labels = "OUT/phantoms/trainLabels.csv"

[index.sources.elsewhere]
layout = "eyepacs"
allow_partial = true
role = "external"
images = "OUT/elsewhere/images"
labels = "OUT/elsewhere/trainLabels.csv"

[index.budget]
fraction = 0.5

[prepare]
side_px = 64
images_per_shard = 32

[pretrain.model]
backbone = "test_resnet"
[pretrain.method]
projection_dim = 16
hidden_dim = 32
[pretrain.optim]
epochs = 12
batch_size = 16

[finetune.head]
kind = "grades"
[finetune.model]
backbone = "test_resnet"
[finetune.optim]
epochs = 2
batch_size = 16

[distill.model]
backbone = "test_resnet"
[distill.optim]
epochs = 2
batch_size = 16
[distill.distillation]
teacher_views = 2

[search]
trials = 4
cpus_per_trial = 0.5
epochs = 2
grace_epochs = 1
[search.space]
"distillation.temperature" = { kind = "loguniform", low = 1.0, high = 6.0 }
"distillation.label_weight" = { kind = "choice", values = [0.25, 1.0] }

[evaluate]
num_resamples = 200

[cluster]
local_cpus = 2
num_workers = 2
cpus_per_worker = 0.5
decode_cpus = 0.5
object_store_mib = 200
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with phantoms of two cameras, a truncated photograph among them, and ``run.toml``."""
    folder = tmp_path_factory.mktemp("work")
    write_phantoms(str(folder / "phantoms"), num_patients=44, seed=0, side_px=128)
    write_phantoms(str(folder / "elsewhere"), num_patients=14, seed=1, side_px=128, camera="b", prefix="b")
    broken = min((folder / "phantoms" / "images").iterdir())
    broken.write_bytes(broken.read_bytes()[:900])
    (folder / "run.toml").write_text(RUN.replace("OUT", str(folder)))
    return folder


@pytest.fixture(scope="module")
def planted() -> dict[str, str]:
    """Secrets in the environment of what is started; an object store's own take the place of its."""
    names = ("RAY_AUTH_TOKEN", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY")
    return {name: secrets.token_hex(32) for name in names}


@pytest.fixture(scope="module")
def sessions() -> Iterator[Path]:
    """Where Ray keeps its sessions and their logs: short, for sockets lie below it."""
    folder = Path(tempfile.mkdtemp(prefix="rs-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def raydr(workplace: Path, planted: dict[str, str], sessions: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts ``raydr …`` in the workplace as a process group of its own."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
        environment = {**planted, **kept, "RAY_TMPDIR": str(sessions)}
        environment["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.5"  # how soon it is seen that a training ended
        return subprocess.Popen(
            [sys.executable, "-m", "raydr", *arguments],
            cwd=workplace,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start
