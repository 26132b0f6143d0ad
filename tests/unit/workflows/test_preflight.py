"""A job that would wait for ever is refused at its start, whichever of its stages it is that has no place."""

from pathlib import Path

import pytest

from raydr.config.jobs import EvaluateSettings, Job, PrepareSettings, RunSettings, SearchSettings, StudySettings
from raydr.config.load import load
from raydr.config.override import with_overrides
from raydr.config.site import ClusterSettings
from raydr.data.nodes import Node
from raydr.errors import InputError
from raydr.workflows import preflight, trials
from raydr.workflows.preflight import check_placement, check_storage
from raydr.workflows.trials import check_images_fit

NODES = [Node(4.0, 0.0, 1e9, {}, "a", "10.0.0.1"), Node(4.0, 2.0, 1e9, {}, "b", "10.0.0.2")]
SEARCH = SearchSettings.model_validate(
    {
        "job": "search",
        "out": "runs/x",
        "teacher": "runs/teacher",
        "data": {"manifest": "manifest.parquet"},
        "distill": {"model": {"weights": "none"}},
        "space": {"optim.learning_rate": {"kind": "loguniform", "low": 1e-4, "high": 1e-3}},
    }
)


def test_a_search_needs_a_place_for_trials_and_for_the_training_after_them():
    check_placement(SEARCH, NODES)
    with pytest.raises(InputError, match=r"^search: cpus_per_trial: is 9, the cluster has 8 CPUs"):
        check_placement(with_overrides(SEARCH, {"cpus_per_trial": 9.0}), NODES)
    with pytest.raises(InputError, match=r"^search: cpus_per_trial: each of a trial's 1 workers needs 5 CPUs"):
        check_placement(with_overrides(SEARCH, {"cpus_per_trial": 5.0}), NODES)
    check_placement(with_overrides(SEARCH, {"cpus_per_trial": 5.0, "workers_per_trial": 2}), NODES)
    with pytest.raises(InputError, match=r"^search: gpus_per_trial: is 4, the cluster has 2 GPUs"):
        check_placement(with_overrides(SEARCH, {"gpus_per_trial": 4.0}), NODES)
    with pytest.raises(InputError, match=r"^cluster\.num_workers: "):
        check_placement(with_overrides(SEARCH, {"cluster.num_workers": 9}), NODES)
    check_placement(with_overrides(SEARCH, {"cluster.autoscaling": True, "cpus_per_trial": 99.0}), NODES)


def test_a_run_is_refused_for_the_search_at_its_end():
    file = Path(__file__).parents[3] / "jobs" / "run.toml"
    run = load("run", [file], overrides={"cluster": {}, "search.gpus_per_trial": 9})
    assert isinstance(run, RunSettings)
    with pytest.raises(InputError, match=r"^search: gpus_per_trial: is 9"):
        check_placement(run, NODES)


def test_a_site_alone_is_judged_by_its_training_and_what_does_not_train_is_not():
    greedy = {"num_workers": 9}
    with pytest.raises(InputError, match=r"^cluster\.num_workers: "):
        check_placement(Job(out="", cluster=greedy), NODES)
    check_placement(PrepareSettings(job="prepare", out="x", manifest="m", cluster=greedy), NODES)


def test_a_study_needs_a_place_for_its_cells_and_for_trainers_only_where_it_pretrains():
    source = {"layout": "eyepacs", "images": "i", "labels": "l"}
    arm = {"kind": "probe", "model": {"weights": "none"}}
    settings = {"job": "study", "out": "x", "budgets": [8], "index": {"sources": {"s": source}}, "arms": {"a": arm}}
    greedy = {**settings, "cluster": {"num_workers": 9}}
    check_placement(StudySettings.model_validate(greedy), NODES)
    with pytest.raises(InputError, match=r"^cluster\.num_workers: "):
        check_placement(StudySettings.model_validate({**greedy, "pretrains": {"p": {}}}), NODES)
    with pytest.raises(InputError, match=r"^study: cpus_per_cell: "):
        check_placement(StudySettings.model_validate({**settings, "cpus_per_cell": 5.0}), NODES)


def test_images_that_trainings_share_must_fit_the_smallest_store_of_a_node_that_can_take_one(monkeypatch):
    nodes = [Node(8.0, 1.0, 8e6, {}), Node(8.0, 1.0, 2e6, {}), Node(1.0, 0.0, 1e3, {})]
    monkeypatch.setattr(trials, "alive_nodes", lambda: nodes)
    image = {"side_px": 100, "cpus": 2.0, "gpus": 1.0}  # 30 kB
    check_images_fit("study: test", ClusterSettings(), num_images=53, **image)
    with pytest.raises(InputError, match=r"^study: test images, 54 of 100 pixels, take 0\.0 GiB decoded, the smallest"):
        check_images_fit("study: test", ClusterSettings(), num_images=54, **image)
    check_images_fit("study: test", ClusterSettings(autoscaling=True), num_images=54, **image)


def test_scoring_on_gpus_that_no_node_has_is_refused():
    def evaluation(**cluster):
        data = {"manifest": "manifest.parquet"}
        return EvaluateSettings.model_validate(
            {"job": "evaluate", "out": "x", "model": "m", "data": data, "cluster": cluster}
        )

    check_placement(evaluation(gpus_per_worker=2), NODES)
    with pytest.raises(InputError, match=r"^cluster\.gpus_per_worker: is 3"):
        check_placement(evaluation(gpus_per_worker=3), NODES)
    check_placement(evaluation(gpus_per_worker=3, autoscaling=True), NODES)


@pytest.fixture
def storage_of_nodes(monkeypatch):
    """What every node says of storage, by its address; asked only of clusters of several."""
    said = {}

    class Probes:
        def __init__(self, nodes, **_):
            self.nodes = nodes

        def storage_faults(self, sent):
            assert "/.raydr-probe-" in sent
            return [said[node.address] for node in self.nodes]

    monkeypatch.setattr(preflight, "NodeProbes", Probes)
    return said


def test_a_folder_that_a_node_does_not_see_refuses_the_job(storage_of_nodes, tmp_path):
    storage_of_nodes |= {"10.0.0.1": "", "10.0.0.2": "what the driver wrote is not here"}
    with pytest.raises(InputError) as told:
        check_storage(str(tmp_path), NODES)
    assert str(told.value) == (
        "out: node 10.0.0.2: what the driver wrote is not here; set out to an object store (s3://, gs://) or to a "
        "folder that every node has mounted at the same place"
    )


def test_a_node_that_does_not_answer_and_one_alone_refuse_nothing(storage_of_nodes, tmp_path):
    check_storage(str(tmp_path), NODES[:1])
    storage_of_nodes |= {"10.0.0.1": "", "10.0.0.2": None}
    check_storage(str(tmp_path), NODES)


def test_nodes_that_are_joining_are_waited_for_on_a_cluster_that_was_there_before(monkeypatch, capsys):
    seen = [[], NODES]
    monkeypatch.setattr(preflight, "alive_nodes", lambda: seen.pop(0))
    monkeypatch.setattr(preflight, "_LOOK_EVERY_S", 0.0)
    joining = with_overrides(SEARCH, {"cluster.address": "10.0.0.1:6379"})
    assert preflight._nodes_with_room(joining) == NODES
    assert capsys.readouterr().out.startswith("waiting up to 30 s for nodes that may be on their way: cluster.")
    seen.append([])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError):
        preflight._nodes_with_room(SEARCH)
