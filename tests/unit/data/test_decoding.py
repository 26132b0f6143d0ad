"""Decoding tasks start quickly."""

import subprocess
import sys


def test_a_decoding_task_loads_no_torch():
    code = "import sys, raydr.data.decoding, raydr.data.ingest; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
