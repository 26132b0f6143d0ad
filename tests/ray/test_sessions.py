"""The programs that other tests start leave nothing behind, however they end."""

import signal
import subprocess
import sys
import time

import psutil
import pytest
from sessions import end, members, within

ORPHAN = "import subprocess; print(subprocess.Popen(['sleep', '100'], process_group=0).pid, flush=True)"


def start(code):
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)


def is_running(process_id):
    return psutil.pid_exists(process_id) and psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE


def test_what_a_dead_program_has_left_is_ended_with_its_living_neighbours():
    dead, living, none = start(ORPHAN), start("import time; print(1, flush=True); time.sleep(100)"), start("")
    orphan = int(dead.stdout.readline())
    living.stdout.readline()
    dead.wait(10)
    none.wait(10)
    assert is_running(orphan)
    end(none, dead, living, grace_s=1.0)
    assert not is_running(orphan)
    assert living.returncode in (-signal.SIGTERM, -signal.SIGKILL)
    assert [each for each in members([none, dead, living]) if is_running(each.pid)] == []


def test_a_program_that_takes_too_long_is_ended_though_it_is_stopped_and_that_is_said():
    program, began = start(f"{ORPHAN}\nwhile True: pass"), time.monotonic()
    orphan = int(program.stdout.readline())

    def wait():
        with within(0.5, program):
            program.send_signal(signal.SIGSTOP)
            program.wait()

    with pytest.raises(TimeoutError, match=r"did not end within 0\.5 s"):
        wait()
    assert program.returncode == -signal.SIGKILL
    assert not is_running(orphan)
    assert time.monotonic() - began < 10


def test_a_failure_meanwhile_ends_the_program_and_is_told_as_it_is():
    with pytest.raises(ZeroDivisionError), within(60, start("while True: pass")) as program:
        1 / 0  # noqa: B018
    assert program.returncode in (-signal.SIGTERM, -signal.SIGKILL)


def test_a_program_that_ends_in_time_is_left_alone():
    with within(60, start("print('done')")) as program:
        assert program.stdout.read() == "done\n"
        assert program.wait(10) == 0
