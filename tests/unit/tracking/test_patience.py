"""A store that fails never stops the caller, is reported once, and gets everything in its order."""

import logging
import threading

import pytest

from raydr.tracking import patience
from raydr.tracking.patience import ask, attempt, forget


class _Store:
    """Fails as often as told."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.num_calls = 0

    def __call__(self) -> None:
        self.num_calls += 1
        if self.errors:
            raise self.errors.pop(0)


class _Site:
    """Time that passes only where somebody sleeps, and a store that may be away; what was recorded, in order."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.is_away = False
        self.done: list[object] = []

    def record(self, what: object):
        def action():
            if self.is_away:
                raise ConnectionError("https://me:secret@host is away\nlong story")
            self.done.append(what)

        return action

    def attempt(self, what: object, **options):
        attempt("uri", "metrics", self.record(what), **options)


@pytest.fixture(autouse=True)
def site(monkeypatch):
    site = _Site()
    monkeypatch.setattr(patience.time, "monotonic", lambda: site.now_s)
    monkeypatch.setattr(patience.time, "sleep", lambda seconds: setattr(site, "now_s", site.now_s + seconds))
    monkeypatch.setattr(patience, "answers", lambda uri: uri != "uri" or not site.is_away)
    monkeypatch.setattr(patience, "_stores", {})
    return site


def test_a_failure_that_passes_is_tried_again_and_not_reported(caplog):
    store = _Store(ConnectionError("away"), ConnectionError("away"))
    attempt("uri", "metrics", store)
    assert store.num_calls == 3
    assert not caplog.records


def test_a_dead_store_is_given_up_within_seconds_reported_once_and_left_alone(caplog, site):
    site.is_away = True
    store = _Store(*[ConnectionError("https://me:secret@host is away\nlong story")] * 100)
    with caplog.at_level(logging.WARNING):
        attempt("uri", "metrics", store)
        waited_s, tried = site.now_s - 1000.0, store.num_calls
        site.attempt("spared")
        assert store.num_calls == tried
        site.now_s += 61.0
        site.attempt("spared too")
    assert 0 < waited_s <= 4.0
    assert store.num_calls == 2 * tried
    assert [record.getMessage() for record in caplog.records] == [
        "MLflow (uri) did not take the metrics, which will be recorded when it answers; going on: "
        "https://***@host is away"
    ]


def test_the_next_outage_is_reported_again(caplog, site):
    for number in range(2):
        site.is_away = True
        site.attempt(number)
        site.is_away = False
        site.attempt("end", insist=True)
    assert len(caplog.records) == 2


def test_a_refusal_is_not_tried_again_and_holds_nothing_else_up(caplog, site):
    refused = _Store(ValueError("no"))
    attempt("uri", "tags", refused)
    assert refused.num_calls == 1
    site.attempt("next")
    assert site.done == ["next"]
    assert [record.getMessage() for record in caplog.records] == ["MLflow (uri) did not take the tags; going on: no"]


def test_a_missing_file_says_nothing_about_the_store(site):
    attempt("uri", "file a", _Store(FileNotFoundError(2, "No such file", "a")))
    site.attempt("next")
    assert site.done == ["next"]


def test_what_a_store_missed_is_done_in_order_and_nothing_newer_overtakes_it(site):
    site.is_away = True
    site.attempt("old, tried")
    site.attempt("old, spared")
    attempt("other", "metrics", lambda: site.done.append("of another store"))
    assert site.done == ["of another store"]
    site.is_away = False
    site.attempt("spared still")
    assert len(site.done) == 1
    site.attempt("the end", insist=True)
    assert site.done[1:] == ["old, tried", "old, spared", "spared still", "the end"]
    site.attempt("new")
    assert site.done[5:] == ["new"], "what was done is not done again"


def test_a_question_is_asked_when_nothing_waits_any_more_or_not_at_all(site):
    site.is_away = True
    site.attempt("old")
    with pytest.raises(ConnectionError):
        ask("uri", lambda: pytest.fail("it was asked ahead of what waits"))
    site.is_away = False
    assert ask("uri", lambda: list(site.done)) == ["old"]
    site.attempt("new")
    assert site.done == ["old", "new"], "a store that has answered is used again"


def test_a_store_that_goes_away_while_it_catches_up_loses_nothing_and_no_order(site):
    site.is_away = True
    for number in range(2):
        site.attempt(number)
    attempt("uri", "metrics", lambda: setattr(site, "is_away", True))  # and so it is for the next
    site.attempt(2)
    site.is_away = False
    site.attempt(3, insist=True)
    assert site.done == [0, 1]
    site.is_away = False
    site.attempt(4, insist=True)
    assert site.done == [0, 1, 2, 3, 4]


def test_a_record_that_an_answering_store_never_takes_is_given_up_counted_and_holds_no_other_up(caplog, site):
    broken = _Store(*[ConnectionError("too large")] * 100)
    for _ in range(2):
        attempt("uri", "file a", broken)
    site.attempt("next")
    assert site.done == ["next"]
    assert 6 <= broken.num_calls < 20
    assert [record.getMessage() for record in caplog.records] == [
        "MLflow (uri) did not take the file a; going on: too large"
    ]
    assert (forget("uri"), forget("uri")) == (2, 0)


def test_a_record_that_takes_a_store_longer_than_the_patience_is_tried_three_times(site):
    def fail():
        site.now_s += 5.0  # as long as SQLite waits for a lock
        if len(tries) < 3:
            tries.append(site.now_s)
            raise TimeoutError("locked")
        site.done.append("metrics")

    tries = [0.0]
    attempt("uri", "metrics", fail)
    assert site.done == ["metrics"]


def test_what_an_interrupt_cuts_off_is_done_ahead_of_the_end(site):
    def interrupted():
        if not interruptions:
            interruptions.append(1)
            raise KeyboardInterrupt
        site.done.append("cut off")

    interruptions = []
    with pytest.raises(KeyboardInterrupt):
        attempt("uri", "metrics", interrupted)
    site.attempt("the end")
    assert site.done == ["cut off", "the end"]


def test_of_too_many_records_the_oldest_are_given_up_and_counted(site):
    site.is_away = True
    for number in range(2_003):
        site.attempt(number)
    site.is_away = False
    site.attempt("the end", insist=True)
    assert site.done == [*range(4, 2_003), "the end"]
    assert forget("uri") == 4


def test_what_still_waits_when_a_job_is_over_is_counted_and_forgotten(site):
    site.is_away = True
    for number in range(3):
        site.attempt(number)
    assert forget("uri") == 3
    site.is_away = False
    site.attempt("another job's", insist=True)
    assert site.done == ["another job's"]


def test_another_thread_waits_for_its_turn(site):
    may_go, has_begun = threading.Event(), threading.Event()

    def slow():
        has_begun.set()
        may_go.wait(10)
        site.done.append("first")

    threads = [threading.Thread(target=attempt, args=("uri", "metrics", slow))]
    threads[0].start()
    assert has_begun.wait(10)
    threads.append(threading.Thread(target=site.attempt, args=("second",)))
    threads[1].start()
    threads[1].join(timeout=0.1)
    assert site.done == []
    may_go.set()
    for thread in threads:
        thread.join(timeout=10)
    assert site.done == ["first", "second"]
