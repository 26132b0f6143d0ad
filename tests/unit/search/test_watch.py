"""What those who follow a search hear of its trials."""

from types import SimpleNamespace

from ray.tune.experiment import Trial

from raydr.learning.validation import VALIDATION_AUC
from raydr.search.records import TrialRecords
from raydr.search.trial import as_result
from raydr.search.watch import Watch
from raydr.training.gauges import Gauges


class Follower:
    def __init__(self):
        self.heard = []

    def begin(self, records):
        """Nothing was there before."""

    def epoch(self, number, sample, metrics):
        self.heard.append((number, metrics["epoch"], metrics[VALIDATION_AUC]))

    def ended(self, record):
        """Not of interest."""


def row(epoch, value):
    return {"epoch": epoch, VALIDATION_AUC: value, "seconds": 1.5}


def test_an_epoch_that_a_trial_tells_again_is_heard_once_and_one_that_was_trained_again_replaces_it(tmp_path):
    follower = Follower()
    watch = Watch(TrialRecords(str(tmp_path)), {}, follower, Gauges({}, "search"), states=None, keep="best")
    trial = SimpleNamespace(
        trial_id="a", status=Trial.RUNNING, config={"trial": {"number": 0, "sample": {"optim.learning_rate": 0.1}}}
    )
    watch.on_trial_start(0, [trial], trial)
    for found in (row(0, 0.6), row(1, 0.7), row(0, 0.6), row(1, 0.7), row(1, 0.65)):
        watch.on_trial_result(0, [trial], trial, as_result(found))
    assert follower.heard == [(0, 0, 0.6), (0, 1, 0.7), (0, 1, 0.65)]
    assert [known[VALIDATION_AUC] for known in watch.records[0].history] == [0.6, 0.65]
