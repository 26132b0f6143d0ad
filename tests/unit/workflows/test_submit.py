"""A job's name, what goes along with it, and what is refused before anything is sent."""

import pytest

from raydr.config.jobs import Job
from raydr.errors import InputError
from raydr.workflows.submit import check_out, checked_name, digest_of, submit, with_environment

SETTINGS = Job(out="s3://bucket/run")
WORDS = ["run", "--config", "jobs/run.toml"]


def test_the_same_command_with_the_same_settings_is_the_same_job():
    assert digest_of(WORDS, SETTINGS) == digest_of(list(WORDS), Job(out="s3://bucket/run"))
    assert digest_of(WORDS, SETTINGS) != digest_of(WORDS, Job(out="s3://bucket/run", seed=1))
    assert digest_of(WORDS, SETTINGS) != digest_of([*WORDS, "--progress", "json"], SETTINGS)


@pytest.mark.parametrize("name", ["a/b", "../x", "-x", "", "ä", "x" * 101, "a b"])
def test_a_name_that_is_no_part_of_a_path_is_refused(name):
    with pytest.raises(InputError, match="submit: --name: "):
        checked_name(name)
    assert checked_name("eyepacs-2.1_b") == "eyepacs-2.1_b"


@pytest.mark.parametrize("out", ["runs/mine", "./runs", "scores.parquet"])
def test_an_out_among_the_files_sent_along_is_refused(out):
    with pytest.raises(InputError, match=r"submit: out: .* --set out=s3://BUCKET/NAME"):
        check_out(Job(out=out))


@pytest.mark.parametrize("out", ["s3://b/x", "/data/x", "file:///data/x", "~/x", ""])
def test_an_out_that_stays_is_taken(out):
    check_out(Job(out=out))


def test_variables_go_along_by_name_over_those_of_the_file(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store:9000")
    monkeypatch.setenv("AWS_REGION", "here")
    given = {"env_vars": {"AWS_ENDPOINT_URL": "http://old", "OMP_NUM_THREADS": "1"}, "excludes": ["/runs/"]}
    found = with_environment(given, ["AWS_ENDPOINT_URL"], SETTINGS)
    assert found["excludes"] == ["/runs/"]
    assert found["env_vars"]["AWS_ENDPOINT_URL"] == "http://store:9000"
    assert found["env_vars"]["OMP_NUM_THREADS"] == "1"
    assert "AWS_REGION" not in found["env_vars"]
    assert given["env_vars"]["AWS_ENDPOINT_URL"] == "http://old"


def test_a_stopped_job_has_the_time_to_save_unless_the_file_says_otherwise():
    assert with_environment({}, [], SETTINGS)["env_vars"] == {"RAY_JOB_STOP_WAIT_TIME_S": "30"}
    own = {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "99"}}
    assert with_environment(own, [], SETTINGS)["env_vars"] == {"RAY_JOB_STOP_WAIT_TIME_S": "99"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("MLFLOW_TRACKING_PASSWORD", "x"),
        ("MLFLOW_TRACKING_TOKEN", "x"),
        ("MLFLOW_TRACKING_URI", "https://me:word@mlflow"),
    ],
)
def test_a_secret_is_refused_without_being_shown(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"submit: --env: {name} is a secret") as told:
        with_environment({}, [name], SETTINGS)
    assert "me:word" not in str(told.value)


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ({"env_vars": {"AWS_SECRET_ACCESS_KEY": "word"}}, "env_vars: AWS_SECRET_ACCESS_KEY is a secret"),
        ({"env_vars": {"PROXY": "http://me:word@proxy"}}, "env_vars: PROXY is a secret"),
        ({"pip": ["https://me:word@example.org/raydr.whl"]}, "pip: has a URL with a password"),
        ({"working_dir": "https://:word@files/code.zip"}, "working_dir: has a URL with a password"),
    ],
)
def test_a_secret_in_a_runtime_environment_is_refused_without_being_shown(part, named):
    with pytest.raises(InputError, match=f"submit: runtime environment: {named}") as told:
        with_environment({"env_vars": {"OMP_NUM_THREADS": 1}, **part}, [], SETTINGS)
    assert "word@" not in str(told.value)


@pytest.mark.parametrize("word", ["tracking.uri=https://me:wo@rd@mlflow", "--set=tracking.uri=https://:word@mlflow"])
def test_a_password_among_the_words_is_refused_without_being_shown_or_sent(word, monkeypatch):
    monkeypatch.setattr("raydr.workflows.submit.connect", lambda _: pytest.fail("it was sent"))
    with pytest.raises(InputError, match=r"submit: .*tracking\.uri=https://\.\.\. has a password in it") as told:
        submit(
            [*WORDS, word],
            settings=SETTINGS,
            name=None,
            address=None,
            working_dir=".",
            runtime_env=None,
            environment=[],
            follows=False,
        )
    assert "rd@" not in str(told.value)


def test_a_variable_that_is_not_set_is_refused(monkeypatch):
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(InputError, match="submit: --env: AWS_REGION is not set here"):
        with_environment({}, ["AWS_REGION"], SETTINGS)
