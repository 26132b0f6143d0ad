"""Runs in a real SQLite store: their tree, what is read back, and that an interrupted one is continued."""

import logging
import math
import pickle
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from raydr.errors import InputError, RunError
from raydr.tracking import patience, runs
from raydr.tracking.reach import check_reach
from raydr.tracking.runs import NoTracker, Tracker, Tracking, open_tracker
from raydr.tracking.store import open_client


@pytest.fixture(scope="module")
def client(tracker):
    tracker.end_run(tracker.start_run("first"))
    return open_client(tracker.uri)


def test_runs_form_a_tree_of_pipeline_stage_and_trial(tracker, client):
    pipeline = tracker.start_run("run")
    stage = tracker.start_run("search", parent_id=pipeline)
    trial = tracker.start_run("trial 3", parent_id=stage, tags={"kind": "trial"})
    parents = {
        run_id: client.get_run(run_id).data.tags.get("mlflow.parentRunId") for run_id in (pipeline, stage, trial)
    }
    assert parents == {pipeline: None, stage: pipeline, trial: stage}
    assert client.get_run(trial).data.tags["kind"] == "trial"
    assert client.get_run(trial).info.run_name == "trial 3"


def test_parameters_and_figures_are_read_back_with_their_steps(tracker, client):
    run_id = tracker.start_run("pretrain", params={"learning": {"epochs": 3}, "many": {f"k{i}": i for i in range(150)}})
    for step, loss in enumerate([3.0, math.nan, 1.0]):
        tracker.log_metrics(run_id, {"loss": loss, "images": 10.0 * step}, step=step)
    tracker.log_metrics(run_id, {f"wide/{number}": number for number in range(1001)})
    data = client.get_run(run_id).data
    assert data.params["learning.epochs"] == "3"
    assert len(data.params) == 151
    assert [(point.step, point.value) for point in client.get_metric_history(run_id, "loss")] == [(0, 3.0), (2, 1.0)]
    assert [(point.step, point.value) for point in client.get_metric_history(run_id, "images")] == [
        (0, 0),
        (1, 10),
        (2, 20),
    ]
    assert len(data.metrics) == 1003


def test_a_run_is_continued_and_not_duplicated(tracker, client):
    experiment_id = client.get_experiment_by_name("screening").experiment_id
    run_id = tracker.start_run("distill", params={"temperature": 4.0})
    tracker.end_run(run_id, "KILLED")
    before = len(client.search_runs([experiment_id]))
    again = tracker.start_run("distill", continue_id=run_id, params={"temperature": 2.0, "alpha": 0.5})
    assert again == run_id
    assert len(client.search_runs([experiment_id])) == before
    run = client.get_run(run_id)
    assert run.info.status == "RUNNING"
    assert run.data.params == {"temperature": "4.0", "alpha": "0.5"}
    assert run.data.tags["changed.temperature"] == "2.0"


@pytest.mark.parametrize("unknown", ["", "f" * 32, "not/an/id"])
def test_a_run_that_the_store_does_not_know_is_started_anew(tracker, unknown):
    run_id = tracker.start_run("finetune", continue_id=unknown)
    assert run_id
    assert run_id != unknown


def test_a_deleted_run_is_started_anew(tracker, client):
    run_id = tracker.start_run("finetune")
    client.delete_run(run_id)
    assert tracker.start_run("finetune", continue_id=run_id) != run_id


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_ends_as_told(tracker, client, status):
    run_id = tracker.start_run("evaluate")
    tracker.end_run(run_id, status)
    assert client.get_run(run_id).info.status == status


def test_files_lie_beside_the_store_and_not_in_the_current_folder(tracker, client, store_folder, tmp_path, elsewhere):
    report = tmp_path / "report.html"
    report.write_text("<p>")
    run_id = tracker.start_run("evaluate")
    tracker.log_files(run_id, [str(report), f"file://{report}"], folder="figures")
    assert [file.path for file in client.list_artifacts(run_id, "figures")] == ["figures/report.html"]
    assert next(store_folder.glob("mlartifacts/**/report.html")).read_text() == "<p>"
    assert not list(elsewhere.iterdir())


def test_a_file_that_is_missing_costs_a_warning_and_no_other_file(tracker, client, tmp_path, caplog):
    report = tmp_path / "report.html"
    report.write_text("<p>")
    run_id = tracker.start_run("evaluate")
    with caplog.at_level(logging.WARNING):
        tracker.log_files(run_id, [str(tmp_path / "missing.png"), str(report)])
    assert [file.path for file in client.list_artifacts(run_id)] == ["report.html"]
    assert sum("missing.png" in record.getMessage() for record in caplog.records) == 1


def test_a_tracker_travels_to_another_process_as_a_value(tracker):
    assert pickle.loads(pickle.dumps(tracker)) == tracker


def test_figures_for_a_run_that_is_gone_do_not_raise(tracker, caplog):
    with caplog.at_level(logging.WARNING):
        tracker.log_metrics("f" * 32, {"loss": 1.0})
        tracker.log_metrics("f" * 32, {"loss": 1.0})
    assert len(caplog.records) == 1


@pytest.fixture
def outage(monkeypatch):
    """What begins or ends an outage of the store."""
    is_away = []

    def open_or_fail(uri):
        if is_away:
            raise ConnectionError("away")
        return open_client(uri)

    monkeypatch.setattr(runs, "open_client", open_or_fail)
    monkeypatch.setattr(patience, "open_client", open_or_fail)
    monkeypatch.setattr(patience, "_stores", {})
    monkeypatch.setattr(patience, "_RETRY_S", 0.0)
    return lambda *, begins: is_away.append(1) if begins else is_away.clear()


def test_a_run_that_is_continued_after_an_outage_is_not_closed_by_the_end_that_waited(tracker, client, outage):
    run_id = tracker.start_run("distill", params={"temperature": 4.0}, tags={"try": "first"})
    outage(begins=True)
    tracker.set_tags(run_id, {"try": "cut off"})
    tracker.log_params(run_id, {"alpha": 0.5})
    tracker.end_run(run_id, "FAILED")
    with pytest.raises(RunError, match="away"):
        tracker.start_run("distill", continue_id=run_id)
    outage(begins=False)
    assert tracker.start_run("distill", continue_id=run_id, params={"alpha": 0.7}, tags={"try": "second"}) == run_id
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["try"]) == ("RUNNING", "second")
    assert (run.data.params["alpha"], run.data.tags["changed.alpha"]) == ("0.5", "0.7")


@pytest.mark.parametrize("is_back", [True, False], ids=["before the end", "after the end"])
def test_epochs_that_an_outage_held_up_are_recorded_once(tracker, client, outage, is_back):
    rows = [{"epoch": float(epoch), "loss": 1.0 / (epoch + 1), "images": 8.0} for epoch in range(4)]
    run_id = tracker.start_run("pretrain")
    for row in rows[:3]:
        outage(begins=row["epoch"] > 0)
        tracker.log_metrics(run_id, {"a/loss": row["loss"]}, step=int(row["epoch"]))
    outage(begins=not is_back)
    tracker.log_epochs(run_id, rows, prefix="a/", known_by="loss")
    outage(begins=False)
    tracker.end_run(run_id)
    points = [(point.step, point.value) for point in client.get_metric_history(run_id, "a/loss")]
    assert points == [(int(row["epoch"]), row["loss"]) for row in rows]
    assert [point.step for point in client.get_metric_history(run_id, "a/images")] == [3]
    assert tracker.close() == 0


def test_a_job_knows_at_its_end_how_many_records_were_never_taken(tracker, outage):
    run_id = tracker.start_run("evaluate")
    outage(begins=True)
    tracker.log_metrics(run_id, {"auc": 0.5})
    tracker.end_run(run_id)
    assert tracker.close() == 2
    assert tracker.close() == 0


def test_a_store_that_is_there_answers_and_a_dead_one_does_not(tracker, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert patience.answers(tracker.uri)
    assert not patience.answers("http://127.0.0.1:9")


def test_a_deleted_experiment_is_one_clear_line(tracker, client):
    client.delete_experiment(client.create_experiment("gone"))
    with pytest.raises(InputError, match=r"tracking.experiment: 'gone' is deleted"):
        Tracker(tracker.uri, "gone").start_run("run")


def test_a_server_that_does_not_answer_is_named_before_any_work(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RunError, match=r"MLflow \(http://\*\*\*@127.0.0.1:9\).*tracking.uri"):
        Tracker("http://me:secret@127.0.0.1:9", "screening").start_run("run")


class Refusing(BaseHTTPRequestHandler):
    """What MLflow's `basic-auth` answers to a wrong password (401), or to a user who may not (403)."""

    status = 401

    def do_GET(self):
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"You are not authenticated. Please see https://www.mlflow.org")

    do_POST = do_GET  # noqa: N815 - the server's name

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "refuses this user or password, or wants one"), (403, "does not let this user do that")],
)
@pytest.mark.parametrize(
    "ask",
    [
        lambda uri: Tracker(uri, "screening").start_run("run"),
        lambda uri: check_reach(uri=uri, default_folder="/unused"),
    ],
    ids=["run", "doctor"],
)
def test_a_wrong_password_is_one_line_that_says_what_to_set(status, said, ask):
    handler = type("Answer", (Refusing,), {"status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://me:secret@127.0.0.1:{server.server_port}"
        try:
            with pytest.raises(InputError) as told:
                ask(uri)
        finally:
            server.shutdown()
    assert str(told.value).startswith(f"MLflow (http://***@127.0.0.1:{server.server_port}): {said}; ")
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in str(told.value)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_part_of_a_run_goes_on_without_a_record_where_the_server_is_gone(monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    gone = Tracker("http://127.0.0.1:9", "screening")
    with caplog.at_level(logging.WARNING):
        trial = gone.start_run("trial 1", parent_id="f" * 32, params={"temperature": 4.0})
        gone.log_metrics(trial, {"auc": 0.5}, step=1)
        gone.end_run(trial)
        assert gone.start_run("its own part", parent_id=trial) == "", "nor does it end a search that began unrecorded"
    assert trial == ""
    assert len(caplog.records) == 1
    assert "trial 1 goes on without a record" in caplog.records[0].getMessage()


def test_no_tracker_takes_everything_and_has_no_ids():
    nothing: Tracking = open_tracker(enabled=False, uri=None, experiment="screening", default_folder="s3://bucket")
    assert nothing == NoTracker()
    assert nothing.start_run("run", parent_id="a", params={"b": 1}) == ""
    nothing.log_params("", {"a": 1})
    nothing.log_metrics("", {"a": 1.0}, step=1)
    nothing.log_epochs("", [{"epoch": 0.0, "a": 1.0}], known_by="a")
    nothing.log_files("", ["missing"], folder="figures")
    nothing.set_tags("", {"a": "b"})
    nothing.end_run("", "FAILED")
    assert nothing.close() == 0
    assert nothing.viewing() == ""


def test_mlflow_is_not_imported_before_a_run_starts():
    code = "import sys, raydr.tracking.runs; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_store_is_opened_with_one_command(tracker, store_folder):
    assert tracker.viewing() == f"mlflow ui --backend-store-uri sqlite:///{store_folder}/mlflow.db"
