"""Signals during a training: the first is noted and lets it save, for a while; the second is the program's own."""

import os
import signal
import threading
import time

import pytest
from ray.train import ControllerError

from raydr.engine.wish import Wish
from raydr.training.attempts import Fit, StorePatience
from raydr.training.stopping import StopSignals


class Asked:
    """A board that remembers what was asked for."""

    def __init__(self):
        self.wish = Wish.GO_ON
        self.stop = threading.Event()

    def ask_for(self, wish):
        self.wish = wish
        self.stop.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_noted_and_the_second_is_answered_as_before(number):
    heard = []
    before = signal.signal(number, lambda *_: heard.append(number))
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), number)
            assert signals.received == number
            assert not heard
            os.kill(os.getpid(), number)
            assert heard == [number]
        os.kill(os.getpid(), number)
        assert heard == [number] * 2
    finally:
        signal.signal(number, before)


def test_without_a_signal_the_old_handlers_are_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopSignals() as signals:
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert signals.received is None


def test_a_training_that_saves_in_time_is_waited_for():
    board, lines = Asked(), []
    with StopSignals() as signals:
        fit = Fit(board.stop.wait, again=lambda _: False)
        os.kill(os.getpid(), signal.SIGTERM)
        fit.wait(signals, board, grace_s=30.0, on_line=lines.append)
    assert board.wish == Wish.STOP
    assert fit.error is None
    assert fit.shortfall(30.0) == ""
    assert lines == ["SIGTERM: saving, for up to 30 s; once more ends at once"]


def test_a_training_that_does_not_end_is_left_after_the_grace():
    for_ever = threading.Event()
    started = time.monotonic()
    with StopSignals() as signals:
        fit = Fit(for_ever.wait, again=lambda _: False)
        os.kill(os.getpid(), signal.SIGTERM)
        fit.wait(signals, Asked(), grace_s=0.5, on_line=lambda _: None)
    assert fit.shortfall(0.5) == "it did not end within 0.5 s; "
    for_ever.set()
    assert 0.5 <= time.monotonic() - started < 5


def test_a_training_that_fails_while_it_saves_is_said_to_have_failed():
    board = Asked()

    def attempt():
        board.stop.wait()
        raise OSError("no space left on device")

    with StopSignals() as signals:
        fit = Fit(attempt, again=lambda _: True)
        os.kill(os.getpid(), signal.SIGTERM)
        fit.wait(signals, board, grace_s=30.0, on_line=lambda _: None)
    assert fit.shortfall(30.0) == "it failed meanwhile (no space left on device); "


class Store:
    """States whose storage answers at the third question."""

    def __init__(self):
        self.asked = 0

    def names(self):
        self.asked += 1
        if self.asked < 3:
            raise OSError("no route")
        return []


def test_an_attempt_that_storage_failed_is_made_again_when_it_answers(monkeypatch):
    monkeypatch.setattr("raydr.training.attempts._ASK_STORE_EVERY_S", 0.01)
    store, lines, attempts = Store(), [], []

    def attempt():
        attempts.append(store.asked)
        if len(attempts) == 1:
            raise ControllerError(OSError("could not connect"))

    fit = Fit(attempt, again=StorePatience(store, 1, lines.append).waits_for)
    with StopSignals() as signals:
        fit.wait(signals, Asked(), grace_s=1.0, on_line=lines.append)
    assert attempts == [0, 3]
    assert fit.error is None
    assert lines == ["storage failed, waiting for it: could not connect"]


@pytest.mark.parametrize(
    ("error", "limit"),
    [(ControllerError(ValueError("a bug")), 1), (ControllerError(OSError("disk")), 0), (OSError("disk"), 1)],
)
def test_what_storage_did_not_cause_or_happens_too_often_ends_the_training(error, limit):
    assert not StorePatience(Store(), limit, lambda _: None).waits_for(error)
