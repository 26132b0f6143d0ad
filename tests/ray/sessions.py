"""Programs that leave nothing behind: each leads a session (`start_new_session=True`), which is ended whole.

What a program has started may outlive it and have groups of its own, as Ray's processes do, but stays in its session.
"""

import contextlib
import os
import threading
from subprocess import Popen

import psutil


def members(leaders):
    """Every process of the sessions that these programs lead, or led."""
    sessions = {leader.pid for leader in leaders}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process.pid) in sessions:
                found.append(process)
    return found


def end(*leaders: Popen, grace_s=5.0):
    """End the sessions of some programs, however many of their processes have ended already."""
    found = members(leaders)
    _each(found, psutil.Process.terminate)
    others = [process for process in found if process.pid not in {leader.pid for leader in leaders}]
    psutil.wait_procs(others, timeout=grace_s)  # not for a leader, whose exit status it would take
    _each(members(leaders), psutil.Process.kill)
    for leader in leaders:
        leader.wait(timeout=10)


def _each(found, act):
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            act(process)


@contextlib.contextmanager
def within(limit_s, leader: Popen):
    """A program, whose session is ended with the context, or when its time is over: that is a TimeoutError."""
    is_late = threading.Event()

    def stop():
        is_late.set()
        _each(members([leader]), psutil.Process.kill)  # a stopped one too

    timer = threading.Timer(limit_s, stop)
    timer.start()
    try:
        yield leader
    finally:
        timer.cancel()
        end(leader, grace_s=0.0)
        leader.stdout.close()
        if is_late.is_set():
            raise TimeoutError(f"did not end within {limit_s:g} s")
