"""What makes two searches the same, and how many trials of several workers there is room for."""

import pytest
import ray

from raydr.config.jobs import SearchSettings
from raydr.config.override import with_overrides
from raydr.workflows.job import Stage
from raydr.workflows.trials import _max_parallel, search_identity

SETTINGS = SearchSettings.model_validate(
    {
        "job": "search",
        "out": "runs/x",
        "teacher": "runs/teacher",
        "data": {"manifest": "manifest.parquet"},
        "distill": {"model": {"weights": "none"}},
        "space": {"optim.learning_rate": {"kind": "loguniform", "low": 1e-4, "high": 1e-3}},
        "workers_per_trial": 2,
        "cpus_per_trial": 4.0,
    }
)


def identity(overrides, inputs=None):
    stage = Stage("runs/x", None, "", "digest of all settings", inputs or {"teacher": "abc"})
    return search_identity(stage, with_overrides(SETTINGS, overrides))


@pytest.mark.parametrize(
    "overrides",
    [{"trials": 99}, {"max_parallel": 3}, {"cpus_per_trial": 1.0}, {"cluster.autoscaling": True}, {"out": "elsewhere"}],
)
def test_more_trials_or_another_place_for_them_are_the_same_search(overrides):
    assert identity(overrides) == identity({})


@pytest.mark.parametrize(
    "overrides",
    [{"seed": 1}, {"epochs": 9}, {"scheduler": "none"}, {"distill.augment": "strong"}, {"workers_per_trial": 1}],
)
def test_what_shapes_a_trial_makes_another_search(overrides):
    assert identity(overrides) != identity({})


def test_the_length_of_the_refit_shapes_no_trial_and_another_teacher_all():
    assert identity({"distill.optim.epochs": 99}) == identity({})
    assert identity({}, {"teacher": "abd"}) != identity({})


def test_trials_of_several_workers_are_as_many_as_there_is_room_for(monkeypatch):
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 11.0, "GPU": 8.0})
    assert _max_parallel(SETTINGS) == 2
    assert _max_parallel(with_overrides(SETTINGS, {"gpus_per_trial": 8.0})) == 1
    assert _max_parallel(with_overrides(SETTINGS, {"max_parallel": 5})) == 5
    assert _max_parallel(with_overrides(SETTINGS, {"cluster.autoscaling": True})) == SETTINGS.trials
    assert _max_parallel(with_overrides(SETTINGS, {"workers_per_trial": 1})) is None
