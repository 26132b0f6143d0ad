"""Processes that only decode or pass on what trainers tell start quickly."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("modules", ["raydr.data.decoding, raydr.data.ingest", "raydr.training.board"])
def test_a_process_that_computes_nothing_loads_no_torch(modules):
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
