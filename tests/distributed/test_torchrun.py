"""Under torchrun, without Ray: two workers train, save on SIGTERM and go on from there to the uninterrupted end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.distributed
WORKER = Path(__file__).with_name("torchrun_worker.py")


def start(folder: Path, *, slow: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0"]
    command += ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", str(WORKER), str(folder), str(int(slow))]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in json.loads((folder / "history.json").read_text())]


def test_a_torchrun_worker_saves_on_sigterm_and_goes_on_to_the_uninterrupted_end(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start(whole, slow=False).wait(timeout=120) == 0
    run = start(cut, slow=True)
    until = time.monotonic() + 120
    while not (cut / "started").exists() and time.monotonic() < until:
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=120) != 0
    state = json.loads((cut / "state" / "state.json").read_text())
    assert (state["epochs_done"], state["steps_done"]) != (0, 0)
    assert not (cut / "history.json").exists()
    assert start(cut, slow=False).wait(timeout=120) == 0
    assert losses(cut) == losses(whole)
