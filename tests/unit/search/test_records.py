"""What is written down of a trial, and what a scheduler makes of it later."""

import math
from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler

from raydr.config.stages import SearchStage
from raydr.search.records import TrialRecord, TrialRecords
from raydr.search.schedulers import _Within, build_scheduler


def row(epoch, value):
    return {"epoch": float(epoch), "loss": 0.5, "val_auc": value}


def record(number, values, status="done"):
    return TrialRecord(number, {"a": 1}, [row(epoch, value) for epoch, value in enumerate(values)], status)


def test_records_are_read_as_they_were_written(tmp_path):
    store = TrialRecords(str(tmp_path / "records"))
    assert store.read() == {}
    failed = TrialRecord(11, {"b": [1, 2]}, [], "failed", "no room")
    for written in (failed, record(2, [0.5, 0.7])):
        store.write(written)
    assert store.read() == {2: record(2, [0.5, 0.7]), 11: failed}
    assert list(store.read()) == [2, 11]


def test_an_epoch_that_is_reported_again_replaces_the_first():
    found = record(0, [0.6, 0.9, 0.7], status="running")
    found.take_in(row(1, 0.8), {"a": 1})
    assert [known["val_auc"] for known in found.history] == [0.6, 0.8, 0.7]
    assert found.best_auc == 0.8


def test_the_sample_of_a_trial_whose_settings_change_is_that_of_its_best_epoch():
    found = TrialRecord(0, {"a": 1})
    assert math.isnan(found.best_auc)
    for epoch, (value, a) in enumerate([(math.nan, 1), (0.6, 1), (0.8, 2), (0.7, 3), (math.nan, 4)]):
        found.take_in(row(epoch, value), {"a": a})
    assert (found.best_auc, found.sample) == (0.8, {"a": 2})


def test_where_the_last_epoch_is_kept_the_last_one_counts():
    found = TrialRecord(0, {"a": 1}, keep="last")
    for epoch, (value, a) in enumerate([(0.9, 1), (0.6, 2)]):
        found.take_in(row(epoch, value), {"a": a})
    assert (found.best_auc, found.sample) == (0.6, {"a": 2})


def test_a_trial_goes_on_with_the_settings_that_it_has_now_and_from_where_it_is():
    found = TrialRecord(0, {"a": 1})
    found.take_in(row(0, 0.9), {"a": 1})
    found.take_in(row(4, 0.6), {"a": 2})  # it went on from another's state
    assert (found.sample, found.now, found.epochs_done) == ({"a": 1}, {"a": 2}, 5)


SPACE = {"optim.learning_rate": {"kind": "loguniform", "low": 1e-4, "high": 1e-2}}


def decisions(scheduler, number, values, *, start=0):
    """What the scheduler says to a trial's epochs from ``start`` on."""
    trial = SimpleNamespaceTrial(trial_id=f"t{number}", config={"trial": {"number": number}})
    scheduler.on_trial_add(None, trial)
    return [
        scheduler.on_trial_result(None, trial, {**row(start + place, value), "epochs_done": start + place + 1})
        for place, value in enumerate(values)
    ]


class SimpleNamespaceTrial(SimpleNamespace):
    __hash__ = object.__hash__


def scheduler_of(name, past):
    settings = SearchStage.model_validate({"scheduler": name, "epochs": 8, "grace_epochs": 2, "space": SPACE})
    return build_scheduler(settings, {found.number: found for found in past})


@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_scheduler_holds_new_trials_against_those_of_earlier_attempts(name):
    past = [record(number, [0.8, 0.8, 0.85, 0.9]) for number in range(4)]
    weak = [0.5, 0.5]
    assert decisions(scheduler_of(name, past), 9, weak) == [TrialScheduler.CONTINUE, TrialScheduler.STOP]
    assert decisions(scheduler_of(name, []), 9, weak) == [TrialScheduler.CONTINUE] * 2


def test_a_trial_that_goes_on_is_not_judged_again_at_a_rung_that_it_has_passed():
    past = [record(number, [0.8, 0.8, 0.85, 0.9]) for number in range(4)]
    under_way = record(9, [0.8, 0.8], status="running")
    assert decisions(scheduler_of("asha", [*past, under_way]), 9, [0.1], start=2) == [TrialScheduler.CONTINUE]
    assert decisions(scheduler_of("asha", past), 9, [0.1], start=2) == [TrialScheduler.STOP]


def test_pbt_stays_within_the_bounds_of_the_space():
    space = SearchStage.model_validate({"space": SPACE}).space
    config = {"trial": {"number": 3, "sample": {"optim.learning_rate": 0.012}}}
    assert _Within(space)(config)["trial"] == {"number": 3, "sample": {"optim.learning_rate": 1e-2}}
