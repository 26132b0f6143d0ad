"""Figures as gauges for Prometheus."""

import math

import pytest

from raydr.training import gauges
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
