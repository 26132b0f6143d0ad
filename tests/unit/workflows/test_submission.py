"""Attempts at a job and how they end, on a job API that is kept in memory."""

import gc
from types import SimpleNamespace

import aiohttp
import pytest
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus

from raydr.errors import InputError, RunError
from raydr.workflows import submission
from raydr.workflows.submission import Order, connect, follow, runtime_env_of, start_or_find, told, verdict

ORDER = Order("raydr-run-1", "digest", "python -m raydr run", {"working_dir": "."})


def details(submission_id, status="RUNNING", **changes):
    return JobDetails(type="SUBMISSION", submission_id=submission_id, status=status, entrypoint="sleep", **changes)


class Api:
    """Jobs by id, as Ray keeps them; a log is a list of what each connection sends."""

    def __init__(self):
        self.jobs, self.connections = {}, []

    def list_jobs(self):
        return [details(None, status="RUNNING"), *self.jobs.values()]

    def submit_job(self, *, entrypoint, submission_id, runtime_env, metadata):
        if submission_id in self.jobs:
            raise RuntimeError(f"Request failed with status code 400: Job {submission_id} already exists.")
        self.jobs[submission_id] = details(submission_id, metadata=metadata)
        return submission_id

    def end(self, submission_id, status="SUCCEEDED", **changes):
        self.jobs[submission_id] = self.jobs[submission_id].model_copy(update={"status": JobStatus(status), **changes})

    def get_job_info(self, job_id):
        if job_id not in self.jobs:
            raise RuntimeError(f"Request failed with status code 404: Job {job_id} does not exist.")
        return self.jobs[job_id]

    async def tail_job_logs(self, job_id):
        for piece in self.connections.pop(0):
            if isinstance(piece, Exception):
                raise piece
            if callable(piece):
                piece()
            else:
                yield piece


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setattr(submission, "_PAUSE_S", 0.0)
    return Api()


def test_the_same_order_twice_is_one_job_while_it_runs_and_another_attempt_after_it(api):
    assert start_or_find(api, ORDER) == ("raydr-run-1", True)
    assert start_or_find(api, ORDER) == ("raydr-run-1", False)
    for number in range(2, 12):
        api.end(f"raydr-run-1-{number - 1}" if number > 2 else "raydr-run-1", status="FAILED")
        assert start_or_find(api, ORDER) == (f"raydr-run-1-{number}", True)
        assert start_or_find(api, ORDER) == (f"raydr-run-1-{number}", False)


def test_a_name_that_does_something_else_now_is_refused_and_free_again_when_that_has_ended(api):
    start_or_find(api, ORDER)
    other = Order("raydr-run-1", "other", "python -m raydr plan", {})
    with pytest.raises(InputError, match="raydr-run-1 is under way and does something else"):
        start_or_find(api, other)
    api.end("raydr-run-1")
    assert start_or_find(api, other) == ("raydr-run-1-2", True)


def test_an_order_that_another_process_has_placed_at_the_same_moment_is_found(api, monkeypatch):
    start_or_find(api, ORDER)
    before, api.list_jobs = api.list_jobs, lambda: setattr(api, "list_jobs", before) or []
    assert start_or_find(api, ORDER) == ("raydr-run-1", False)


def test_an_id_of_a_job_that_is_none_of_ours_is_refused(api):
    api.jobs["raydr-run-1"] = details("raydr-run-1", status="SUCCEEDED")
    with pytest.raises(InputError, match="another job is called raydr-run-1; choose another name"):
        start_or_find(api, ORDER)


def test_a_log_is_shown_once_over_lost_connections_until_the_job_ends(api):
    start_or_find(api, ORDER)
    api.connections = [
        ["one\n", ConnectionError("lost")],
        ["one\ntw", "o\n"],  # closed in good order while the job goes on
        [RuntimeError("WebSocket connection closed unexpectedly with close code 1006")],
        ["on", "e\ntwo\n", "three\n", lambda: api.end("raydr-run-1")],
    ]
    shown = []
    assert follow(api, "raydr-run-1", shown.append).status == JobStatus.SUCCEEDED
    assert "".join(shown) == "one\ntwo\nthree\n"


def test_a_cluster_that_has_forgotten_the_job_or_does_not_answer_is_told(api, monkeypatch):
    api.connections = [[]]
    with pytest.raises(RunError, match="does not know raydr-run-1 any more"):
        follow(api, "raydr-run-1", lambda _: None)
    request = SimpleNamespace(real_url="http://head/api/jobs/raydr-run-1/logs/tail")
    api.connections = [[aiohttp.WSServerHandshakeError(request, (), status=404, message="Invalid response status")]]
    with pytest.raises(RunError, match="does not know raydr-run-1 any more"):
        follow(api, "raydr-run-1", lambda _: None)
    start_or_find(api, ORDER)
    monkeypatch.setattr(submission, "_PATIENCE_S", -1.0)
    api.connections = [[ConnectionError("refused")]]
    with pytest.raises(RunError, match="raydr-run-1 may go on"):
        follow(api, "raydr-run-1", lambda _: None)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only where a test or a pause of 2 s says so."""
    now = SimpleNamespace(seconds=1000.0)

    def sleep(_):
        now.seconds += 2.0

    monkeypatch.setattr(submission, "time", SimpleNamespace(monotonic=lambda: now.seconds, sleep=sleep))
    return now


def test_a_job_may_be_quiet_for_longer_than_a_cluster_may_be_silent(api, clock):
    start_or_find(api, ORDER)

    def quiet():
        clock.seconds += 400.0

    lost = ConnectionError("lost")
    api.connections = [[quiet, lost], [quiet, lost], [lost], [quiet, lost], [lambda: api.end("raydr-run-1")]]
    assert follow(api, "raydr-run-1", lambda _: None).status == JobStatus.SUCCEEDED
    assert not api.connections


@pytest.mark.parametrize("ended", [False, True])
def test_five_minutes_without_an_answer_or_the_log_of_a_job_that_has_ended_are_the_end(api, clock, ended, monkeypatch):
    start_or_find(api, ORDER)

    def refused(_):
        raise ConnectionError("refused")

    if ended:
        api.end("raydr-run-1")
    else:
        monkeypatch.setattr(api, "get_job_info", refused)
    api.connections = [[ConnectionError("refused")] for _ in range(1000)]
    with pytest.raises(RunError, match="has not answered for 300 s"):
        follow(api, "raydr-run-1", lambda _: None)
    assert clock.seconds == 1302.0


def test_a_404_in_an_address_or_an_id_is_no_job_that_is_not_known(api):
    start_or_find(api, ORDER)
    api.connections = [
        [ConnectionError("Cannot connect to host head:40404 for raydr-run-404")],
        [RuntimeError("Request failed with status code 500: raydr-run-404 has a timeout.")],
        [lambda: api.end("raydr-run-1")],
    ]
    assert follow(api, "raydr-run-1", lambda _: None).status == JobStatus.SUCCEEDED


def test_a_reader_that_has_seen_enough_is_no_lost_connection(api):
    start_or_find(api, ORDER)
    api.connections = [["one\n"]]

    def closed(_):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError), told("http://head:8265"):
        follow(api, "raydr-run-1", closed)


def test_a_password_in_the_command_of_another_job_is_not_shown(api):
    api.submit_job(entrypoint="", submission_id="raydr-run-1", runtime_env={}, metadata={"raydr.name": ORDER.name})
    api.end("raydr-run-1", status="RUNNING", entrypoint="raydr run --set tracking.uri=https://me:word@mlflow")
    with pytest.raises(InputError, match=r"something else \(raydr run --set tracking.uri=https://\*\*\*@mlflow\)"):
        start_or_find(api, ORDER)


def test_ctrl_c_before_the_log_begins_is_an_interruption_and_no_warning(api, monkeypatch, recwarn):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(submission.asyncio, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        follow(api, "raydr-run-1", lambda _: None)
    gc.collect()
    assert not [str(warning.message) for warning in recwarn]


LOG = "Job entrypoint command failed with exit code 2, last available logs (truncated to 20,000 chars):\nfirst\nwhy\n"


@pytest.mark.parametrize(
    ("ended", "status", "line"),
    [
        ({"status": "SUCCEEDED", "driver_exit_code": 0}, 0, "j is done"),
        ({"status": "FAILED", "driver_exit_code": 2, "message": LOG}, 2, "j failed with status 2: why"),
        ({"status": "FAILED", "driver_exit_code": -9, "message": "killed"}, 137, "j failed with status 137: killed"),
        (
            {"status": "FAILED", "message": "no package"},
            1,
            "j failed with status 1: no package",
        ),
        ({"status": "STOPPED"}, 143, "j was stopped; submitted again it goes on from what it has saved"),
    ],
)
def test_the_exit_status_is_the_jobs_and_the_last_line_says_why(ended, status, line):
    assert verdict(details("j", **ended)) == (status, line)


def test_a_refused_token_is_one_line_that_names_the_variables_and_a_dead_cluster_another():
    with pytest.raises(InputError) as refused, told("http://head:8265"):
        raise AuthenticationError("Authentication failed: Forbidden: Invalid authentication token\n\nmore")
    assert str(refused.value) == (
        "submit: http://head:8265 refuses this token, or wants one (Authentication failed: Forbidden: Invalid "
        "authentication token); set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's"
    )
    with (
        pytest.raises(RunError, match=r"submit: http://head:8265: Failed to connect to Ray at address"),
        told("http://head:8265"),
    ):
        raise ConnectionError("Failed to connect to Ray at address: http://head:8265.")


def test_a_runtime_environment_that_is_none_is_named(tmp_path):
    file = tmp_path / "runtime_env.yaml"
    file.write_text("env_vars: {A: '1'}\nworking_dir: elsewhere\n")
    assert runtime_env_of(str(file), ".") == {"env_vars": {"A": "1"}, "working_dir": "."}
    assert runtime_env_of(None, "here") == {"working_dir": "here"}
    for text in ("- a", "a: [", ""):
        file.write_text(text)
        with pytest.raises(InputError, match=r"runtime_env\.yaml: "):
            runtime_env_of(str(file), ".")
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read"):
        runtime_env_of(str(tmp_path / "none.yaml"), ".")


def test_a_ray_that_happens_to_run_on_this_machine_is_not_taken(monkeypatch):
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="no address: give --address or set RAY_API_SERVER_ADDRESS"):
        connect(None)
