"""Figures as gauges for Prometheus."""

import math
from types import SimpleNamespace

import pyarrow.fs as pafs
import pytest
import ray.train

from raydr.learning.validation import VALIDATION_AUC
from raydr.search.records import TrialRecord, TrialRecords
from raydr.search.trial import ROW
from raydr.search.watch import Watch
from raydr.training import gauges
from raydr.training.context import RayContext
from raydr.training.gauges import SEARCH_GAUGES, TRAINING_GAUGES, Gauges


class Recorded:
    """A gauge that remembers."""

    shown: dict[str, tuple[float, dict[str, str]]]

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        assert description
        assert tag_keys == ("run",)
        self._name = name

    def set_default_tags(self, tags: dict[str, str]) -> "Recorded":
        self._tags = tags
        return self

    def set(self, value: float) -> None:
        self.shown[self._name] = value, self._tags


@pytest.fixture
def shown(monkeypatch):
    Recorded.shown = {}
    monkeypatch.setattr(gauges, "Gauge", Recorded)
    return Recorded.shown


def test_what_has_a_gauge_is_shown_under_the_trainings_name_and_the_rest_is_not(shown) -> None:
    Gauges(TRAINING_GAUGES, "pretrain-1").show({"loss": 0.5, "images_per_s": 800.0, "epoch": 3.0})
    run = {"run": "pretrain-1"}
    assert shown == {"raydr_loss": (0.5, run), "raydr_images_per_second": (800.0, run)}


def test_what_is_no_number_leaves_the_gauge_as_it_is(shown) -> None:
    search = Gauges(SEARCH_GAUGES, "search-1")
    search.show({"best_auc": 0.9, "done": 1.0})
    search.show({"best_auc": math.nan, "done": 2.0})
    assert shown["raydr_best_validation_auc"][0] == pytest.approx(0.9)
    assert shown["raydr_trials_done"][0] == pytest.approx(2.0)


def test_what_a_worker_tells_is_shown_under_its_trainings_name(shown, monkeypatch, tmp_path) -> None:
    storage = SimpleNamespace(storage_filesystem=pafs.LocalFileSystem(), experiment_fs_path=str(tmp_path))
    ray_train = SimpleNamespace(get_experiment_name=lambda: "finetune-1", get_storage=lambda: storage)
    monkeypatch.setattr(ray.train, "get_context", lambda: ray_train)
    RayContext().tell({"loss": 0.5, "data_wait": 0.1})
    run = {"run": "finetune-1"}
    assert shown == {"raydr_loss": (0.5, run), "raydr_data_wait_share": (0.1, run)}


def test_a_search_shows_its_trials_and_the_best_ones_auc(shown, tmp_path) -> None:
    records = TrialRecords(str(tmp_path))
    past = {0: TrialRecord(0, {}, status="failed", error="it crashed"), 1: TrialRecord(1, {})}
    gauges = Gauges(SEARCH_GAUGES, "search-1")
    audience = SimpleNamespace(epoch=lambda *_: None, ended=lambda _: None)
    watch = Watch(records, past, audience, gauges, states=None, keep="best")
    assert _values(shown) == {"raydr_trials_running": 1, "raydr_trials_done": 0, "raydr_trials_failed": 1}
    first, second = (_trial(number) for number in (1, 2))
    watch.on_trial_start(0, [], second)
    watch.on_trial_result(0, [], first, {ROW: {"epoch": 0.0, VALIDATION_AUC: 0.75}})
    watch.on_trial_complete(0, [], first)
    assert _values(shown) == {
        "raydr_trials_running": 1,
        "raydr_trials_done": 1,
        "raydr_trials_failed": 1,
        "raydr_best_validation_auc": 0.75,
    }


def _trial(number: int) -> SimpleNamespace:
    return SimpleNamespace(trial_id=str(number), config={"trial": {"number": number, "sample": {}}})


def _values(shown: dict[str, tuple[float, dict[str, str]]]) -> dict[str, float]:
    assert {tags["run"] for _, tags in shown.values()} == {"search-1"}
    return {name: value for name, (value, _) in shown.items()}
