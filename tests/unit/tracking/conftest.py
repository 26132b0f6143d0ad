"""One SQLite store for the whole folder: making one takes MLflow seconds."""

from pathlib import Path

import pytest

from raydr.tracking.runs import Tracker, open_tracker


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="session")
def tracker(store_folder) -> Tracker:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        opened = open_tracker(enabled=True, uri=None, experiment="screening", default_folder=str(store_folder))
    assert isinstance(opened, Tracker)
    return opened


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> Path:
    """A current folder that must stay empty."""
    folder = tmp_path / "current"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
