"""What makes two searches the same, how many trials of several workers there is room for, their runs in MLflow."""

import dataclasses

import pytest
import ray
from mlflow import MlflowClient

from raydr.config.jobs import SearchSettings
from raydr.config.override import with_overrides
from raydr.search.records import TrialRecord
from raydr.tracking.runs import open_tracker
from raydr.workflows.job import Stage
from raydr.workflows.trial_table import TrialTable
from raydr.workflows.trials import _max_parallel, _TrialRuns, search_identity

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
    [
        {"trials": 99},
        {"max_parallel": 3},
        {"cpus_per_trial": 1.0},
        {"refit_seeds": 3},
        {"cluster.autoscaling": True},
        {"out": "elsewhere"},
    ],
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


@pytest.mark.parametrize("workers", [1, 2])
def test_trials_that_learn_from_each_other_let_a_cluster_grow_by_several_nodes_at_once(workers):
    learning = {"algorithm": "tpe", "trials": 40, "workers_per_trial": workers, "cluster.autoscaling": True}
    assert _max_parallel(with_overrides(SETTINGS, learning)) == 10
    assert _max_parallel(with_overrides(SETTINGS, {**learning, "trials": 4})) == 4
    assert _max_parallel(with_overrides(SETTINGS, {**learning, "max_parallel": 32})) == 32


def test_trials_of_an_earlier_attempt_belong_to_the_search_that_goes_on_with_every_epoch(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = open_tracker(enabled=True, uri=uri, experiment="x", default_folder=str(tmp_path))
    rows = [{"epoch": float(epoch), "loss": 0.5, "val_auc": 0.6 + epoch / 10} for epoch in range(3)]
    record = TrialRecord(0, {"optim.learning_rate": 0.1}, rows)

    def attempt():
        parent = tracker.start_run("search")
        stage = Stage(str(tmp_path), tracker, parent, "digest", {})
        return parent, _TrialRuns(stage, str(tmp_path / "runs.json"), TrialTable(2, epochs=3, is_terminal=False))

    _, first = attempt()
    first.begin({})
    for row in rows[:2]:
        first.epoch(0, record.sample, row)
    first.abandon()  # the third epoch was written down, its driver died
    parent, second = attempt()
    second.begin({0: dataclasses.replace(record, status="done")})
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("x").experiment_id
    (run,) = [run for run in client.search_runs([experiment]) if run.info.run_name == "trial 1"]
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == parent
    history = client.get_metric_history(run.info.run_id, "val_auc")
    assert [(point.step, point.value) for point in history] == [(0, 0.6), (1, 0.7), (2, 0.8)]
    assert run.data.metrics["best_val_auc"] == 0.8
