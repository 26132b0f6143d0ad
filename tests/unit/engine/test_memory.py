"""A process that frees and wants the same memory over and over gets no new pages for it."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from raydr.engine.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    pieces = [b"x" * (size << 20) for size in (8, 64, 16)]
work()
before = faults()
for _ in range(5):
    work()
print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc alone can be told")
def test_what_is_freed_is_at_hand_when_it_is_wanted_again():
    def faults(kind):
        return int(subprocess.run([sys.executable, "-c", PROGRAM, kind], capture_output=True, check=True).stdout)

    assert faults("kept") < 0.05 * faults("left")
