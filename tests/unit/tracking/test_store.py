"""Which store a job records in, and what MLflow may do in our process."""

import os
from pathlib import Path

import pytest

from raydr.errors import InputError
from raydr.tracking.store import choose_store, set_environment, without_credentials


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_without_a_word_the_store_is_sqlite_in_the_default_folder_and_absolute():
    store = choose_store(uri=None, default_folder="runs/demo")
    here = Path.cwd()
    assert store.uri == f"sqlite:///{here}/runs/demo/mlflow.db"
    assert store.artifact_root == f"{here}/runs/demo/mlartifacts"


def test_the_environment_wins_over_the_default_and_a_setting_over_both(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://tracking.example")
    assert choose_store(uri=None, default_folder="runs/demo").uri == "https://tracking.example"
    assert choose_store(uri="https://other.example", default_folder="runs/demo").uri == "https://other.example"


def test_an_empty_environment_variable_names_no_store(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", " ")
    assert choose_store(uri=None, default_folder="/data/out").uri == "sqlite:////data/out/mlflow.db"


@pytest.mark.parametrize(
    ("uri", "absolute", "files"),
    [
        ("sqlite:///mine.db", "sqlite:///{here}/mine.db", "{here}/mlartifacts"),
        ("sqlite:////data/mine.db?timeout=9", "sqlite:////data/mine.db?timeout=9", "/data/mlartifacts"),
        ("postgresql://database.example/runs", "postgresql://database.example/runs", "/out/mlartifacts"),
        ("https://tracking.example", "https://tracking.example", None),
        ("databricks", "databricks", None),
    ],
)
def test_files_are_kept_beside_a_local_store_and_where_a_server_says(uri, absolute, files):
    store = choose_store(uri=uri, default_folder="/out")
    here = Path.cwd()
    assert store.uri == absolute.format(here=here)
    assert store.artifact_root == (None if files is None else files.format(here=here))


def test_an_object_store_cannot_hold_the_default_and_says_what_can():
    with pytest.raises(InputError, match=r"tracking\.uri or MLFLOW_TRACKING_URI") as caught:
        choose_store(uri=None, default_folder="s3://bucket/out")
    assert "\n" not in str(caught.value)


def test_mlflow_is_quiet_and_refuses_pickles_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", raising=False)
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "ERROR")
    set_environment()
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["MLFLOW_LOGGING_LEVEL"] == "ERROR"


def test_passwords_in_urls_are_not_shown():
    assert without_credentials("postgresql://me:secret@host/db") == "postgresql://***@host/db"
    assert without_credentials('["http://me:p@ss:w@host/a", "b@c"]') == '["http://***@host/a", "b@c"]'
    assert without_credentials("mail me@host or see https://host/a@b") == "mail me@host or see https://host/a@b"
