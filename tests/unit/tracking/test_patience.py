"""A store that fails never stops the caller, and is reported once."""

import logging

import pytest

from raydr.tracking import patience
from raydr.tracking.patience import answered, attempt


class _Store:
    """Fails as often as told."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.num_calls = 0

    def __call__(self) -> None:
        self.num_calls += 1
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Time that passes only where somebody sleeps."""
    now = [1000.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(patience.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(patience, "_paused_until", {})
    monkeypatch.setattr(patience, "_reported", set())
    monkeypatch.setattr(patience, "_waiting", {})
    return now


def test_a_failure_that_passes_is_tried_again_and_not_reported(caplog):
    store = _Store(ConnectionError("away"), ConnectionError("away"))
    assert attempt("uri", "metrics", store)
    assert store.num_calls == 3
    assert not caplog.records


def test_a_dead_store_is_given_up_within_seconds_reported_once_and_left_alone(caplog, clock):
    store = _Store(*[ConnectionError("https://me:secret@host is away\nlong story")] * 100)
    with caplog.at_level(logging.WARNING):
        assert not attempt("uri", "metrics", store)
        waited, tried = clock[0] - 1000.0, store.num_calls
        assert not attempt("uri", "metrics", store)
        clock[0] += 61.0
        assert not attempt("uri", "metrics", store)
    assert 0 < waited <= 4.0
    assert store.num_calls == 2 * tried
    assert [record.getMessage() for record in caplog.records] == [
        "MLflow (uri) did not take the metrics; going on: https://***@host is away"
    ]


def test_a_refusal_is_not_tried_again_and_holds_nothing_else_up(caplog):
    refused, other = _Store(ValueError("no")), _Store()
    assert not attempt("uri", "tags", refused)
    assert refused.num_calls == 1
    assert attempt("uri", "metrics", other)


def test_a_missing_file_says_nothing_about_the_store():
    assert not attempt("uri", "file a", _Store(FileNotFoundError(2, "No such file", "a")))
    assert attempt("uri", "metrics", _Store())


def test_the_end_of_a_run_is_tried_even_with_a_store_that_was_away(clock):
    away, end = _Store(*[ConnectionError()] * 100), _Store()
    attempt("uri", "metrics", away)
    away.errors.clear()
    assert attempt("uri", "end of the run", end, insist=True)
    assert attempt("uri", "metrics", _Store()), "a store that answers is used again"


def test_what_a_store_missed_is_done_in_order_when_it_answers(clock):
    done = []

    def record(what):
        return lambda: done.append(what)

    away = _Store(*[ConnectionError()] * 100)
    for _ in range(2):  # the first is tried, the second spared
        attempt("uri", "metrics", lambda: away() or done.append("tried"))
        attempt("uri", "metrics", record("spared"))
    attempt("uri", "question", record("asked"), may_wait=False)
    attempt("other", "metrics", record("of another store"))
    assert done == ["of another store"]
    away.errors.clear()
    assert attempt("uri", "end of the run", record("end"), insist=True)
    assert done[1:] == ["end", "tried", "spared", "tried", "spared"]
    assert attempt("uri", "metrics", record("new"))
    assert len(done) == 7, "what was done is not done again"


def test_a_store_that_goes_away_while_it_catches_up_loses_nothing():
    done, away = [], _Store(*[ConnectionError()] * 100)
    for number in range(3):
        attempt("uri", "metrics", lambda number=number: away() or done.append(number))
    away.errors[:] = [ConnectionError("away again")]
    answered("uri")
    assert not done
    answered("uri")
    assert sorted(done) == [0, 1, 2]


def test_a_record_that_a_store_never_takes_is_given_up_and_holds_no_other_up(caplog):
    done, broken = [], _Store(*[ConnectionError()] * 100)
    attempt("uri", "file a", broken)
    attempt("uri", "metrics", lambda: done.append("waiting"))
    caplog.clear()
    for number in range(4):
        assert attempt("uri", "metrics", lambda number=number: done.append(number), insist=number == 0)
    assert done == [0, 1, "waiting", 2, 3]
    tried = broken.num_calls
    answered("uri")
    assert broken.num_calls == tried
    assert len(caplog.records) == 1


def test_another_store_is_not_held_up():
    attempt("uri", "metrics", _Store(*[ConnectionError()] * 100))
    assert attempt("other", "metrics", _Store())
