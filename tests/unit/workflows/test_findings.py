"""What is wrong with a cluster is told from facts, one line each with what to do; only what fails a run is an error."""

from dataclasses import replace

import pytest

from raydr.data.node_reports import NodeReport
from raydr.data.nodes import Node
from raydr.workflows.findings import Facts, findings

OWN = {"python": "3.11.2", "ray": "2.60.0", "torch": "2.14.0", "raydr": "0.1.0", "code": "abc"}


def report(address="10.0.0.1", *, gpus=0.0, versions=None, **changes):
    node = Node(8.0, gpus, 2.0 * 2**30, {}, "f00", address)
    said = {"torch_gpus": int(gpus) if gpus else None, "shared_memory_bytes": 4 * 2**30, **changes}
    return NodeReport(node, versions={**OWN, **(versions or {})}, **said)


WELL = Facts(
    own=OWN,
    nodes=[report(), report("10.0.0.2", gpus=2.0)],
    joined=True,
    dashboard="http://10.0.0.1:8265",
    lets_strangers_in=False,
    state_api_fault="",
    placement_faults=[],
    grows=False,
    out="s3://bucket/run",
    storage_fault="",
    tracking="https://mlflow.example",
    tracking_fault="",
    stop_grace_s=25.0,
    stop_wait_s=30.0,
)


def faults(**changes):
    """The findings that are not "ok"."""
    return [finding for finding in findings(replace(WELL, **changes)) if finding.level != "ok"]


def test_a_cluster_that_is_well_has_only_good_findings_each_in_a_line():
    lines = [finding.line() for finding in findings(WELL)]
    assert lines == [
        "ok       versions: python 3.11.2, ray 2.60.0, torch 2.14.0, raydr 0.1.0 on 2 nodes",
        "ok       GPUs: torch sees 2",
        "ok       placement: trainers and decoding have a place on 16 CPUs and 2 GPUs",
        "ok       storage: s3://bucket/run is read and written from 2 nodes",
        "ok       MLflow: https://mlflow.example",
        "ok       authentication: http://10.0.0.1:8265 refuses who has no token",
        "ok       State API: answers",
    ]


@pytest.mark.parametrize(
    ("versions", "level"),
    [
        ({"python": "3.12.1"}, "error"),
        ({"ray": "2.59.0"}, "error"),
        ({"raydr": "0.2.0", "code": "def"}, "error"),
        ({"code": "def"}, "error"),
        ({"torch": "2.13.0"}, "warning"),
    ],
)
def test_another_version_on_a_node_is_one_finding_that_names_it(versions, level):
    (found,) = faults(nodes=[report(), report("10.0.0.2", versions=versions)])
    assert (found.level, found.check) == (level, "versions")
    assert "node 10.0.0.2 has" in found.text
    assert found.remedy


def test_a_build_of_torch_for_gpus_beside_one_for_cpus_is_no_other_version():
    assert not faults(nodes=[report(versions={"torch": "2.14.0+cpu", "python": "3.11.9"})])


def test_a_node_that_says_nothing_is_an_error_and_no_version_is_held_against_it():
    silent = NodeReport(report("10.0.0.9").node, fault="No module named 'raydr'")
    (found,) = faults(nodes=[report(), silent])
    assert found.line().startswith("error    nodes: node 10.0.0.9 runs nothing of raydr's (No module named 'raydr'); ")


def test_gpus_that_torch_does_not_see_are_an_error():
    (found,) = faults(nodes=[report("10.0.0.2", gpus=8.0, torch_gpus=0, versions={"torch": "2.14.0+cpu"})])
    assert found.level == "error"
    assert found.text == "node 10.0.0.2 offers 8 GPUs, torch 2.14.0+cpu sees 0 there"


def test_a_placement_that_never_fits_is_an_error_in_the_words_of_the_settings():
    (found,) = faults(placement_faults=["cluster.num_workers: 8 workers do not fit; lower it"])
    assert found.line() == "error    placement: cluster.num_workers: 8 workers do not fit; lower it"


def test_storage_is_an_error_where_the_driver_or_a_node_cannot_use_it():
    (found,) = faults(nodes=[report(), report("10.0.0.2", storage="what the driver wrote is not here")], out="/data/x")
    assert found.text == "out: node 10.0.0.2: what the driver wrote is not here"
    assert "every node has mounted" in found.remedy
    (found,) = faults(storage_fault="the store refuses access")
    assert (found.level, found.text) == ("error", "out: the driver: the store refuses access")
    assert "credentials" in found.remedy
    assert not [finding for finding in findings(replace(WELL, out="")) if finding.check == "storage"]


def test_a_relative_out_is_an_error_in_a_submitted_job_only():
    (found,) = faults(out="runs/mine")
    assert (found.level, found.check) == ("error", "storage")
    assert not faults(out="runs/mine", stop_wait_s=None)


def test_mlflow_that_does_not_answer_is_an_error():
    (found,) = faults(tracking_fault="MLflow (https://mlflow.example): refused", tracking="")
    assert (found.level, found.check) == ("error", "MLflow")
    assert "MLFLOW_TRACKING_URI" in found.remedy


def test_what_does_not_fail_a_run_is_a_warning():
    for check, changes in {
        "authentication": {"lets_strangers_in": True},
        "State API": {"state_api_fault": "no dashboard"},
        "shared memory": {"nodes": [report(shared_memory_bytes=64 * 2**20)]},
        "clocks": {"nodes": [report(skew_s=-9.0)]},
        "stopping": {"stop_wait_s": 3.0},
    }.items():
        (found,) = faults(**changes)
        assert (found.level, found.check) == ("warning", check)
        assert found.remedy


def test_a_cluster_of_this_machines_own_needs_no_dashboard():
    assert not faults(joined=False, dashboard="", lets_strangers_in=None, state_api_fault="no dashboard")


def test_no_answer_of_the_job_api_is_not_taken_for_a_refusal():
    checks = [finding.check for finding in findings(replace(WELL, lets_strangers_in=None))]
    assert "authentication" not in checks


def test_of_a_cluster_that_grows_no_more_is_said_than_is_known():
    there = [finding for finding in findings(replace(WELL, grows=True)) if finding.check == "placement"]
    assert [finding.level for finding in there] == ["ok"]
    assert "not looked at" in there[0].text
    assert "16 CPUs" in there[0].text
    head = NodeReport(replace(report().node, cpus=0.0), versions=OWN, torch_gpus=None, shared_memory_bytes=4 * 2**30)
    (alone,) = faults(grows=True, nodes=[head])
    assert (alone.level, alone.check) == ("warning", "placement")
    assert "0 CPUs and 0 GPUs" in alone.text
