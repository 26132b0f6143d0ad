import tomllib
from pathlib import Path

import pytest

from raydr.config.jobs import JOBS
from raydr.config.load import load, read_toml
from raydr.config.show import as_toml
from raydr.config.site import TrackingSettings

JOB_FILES = sorted((Path(__file__).parents[3] / "jobs").glob("*.toml"))


@pytest.mark.parametrize("file", JOB_FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("documented", [False, True])
def test_what_is_shown_loads_to_the_same_settings(file: Path, documented: bool, tmp_path: Path) -> None:
    verb = read_toml(file)["job"]
    settings = load(verb, [file])
    shown = tmp_path / "shown.toml"
    shown.write_text(as_toml(settings, documented=documented), encoding="utf-8")
    assert load(verb, [shown]) == settings


def test_defaults_are_shown_and_null_is_a_comment() -> None:
    overrides = {"model": "m", "images": "i", "out": "o.parquet"}
    text = as_toml(load("predict", [], overrides=overrides))
    assert text.startswith('job = "predict"\nout = "o.parquet"\nseed = 0\n')
    assert "\n[cluster]\n# address is null\nnum_workers = 1\n" in text


def test_text_survives_whatever_is_in_it() -> None:
    odd = 'a "b" \\ c\n\té \x7f # = ['
    assert tomllib.loads(as_toml(TrackingSettings(experiment=odd)))["experiment"] == odd


def test_documentation_stands_beside_the_values() -> None:
    text = as_toml(TrackingSettings(), documented=True)
    assert "# uri is null  # MLflow store; null takes MLFLOW_TRACKING_URI" in text


@pytest.mark.parametrize("verb", JOBS)
def test_every_setting_has_a_place_in_the_schema(verb: str) -> None:
    schema = JOBS[verb].model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["properties"]["job"]["const"] == verb
    assert set(schema["properties"]) == set(JOBS[verb].model_fields)
