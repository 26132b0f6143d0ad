"""A method is chosen by its name; what is wrong with its section is said under the file's own keys."""

import json
from pathlib import Path

import pytest

from raydr.cli import main
from raydr.config.load import check, load
from raydr.config.methods import ByolSettings, MocoV3Settings, SimclrSettings
from raydr.config.stages import PretrainStage
from raydr.errors import SettingsError

JOB = 'job = "pretrain"\nout = "runs/x"\n[data]\nmanifest = "m.parquet"\n'


def settings_of(method: dict[str, object]) -> object:
    return PretrainStage.model_validate({"method": method}).method


def test_without_a_name_it_is_simclr():
    assert settings_of({}) == SimclrSettings()
    assert settings_of({"temperature": 0.5}) == SimclrSettings(temperature=0.5)


def test_a_name_chooses_the_section_with_its_authors_values():
    assert settings_of({"name": "byol"}) == ByolSettings(hidden_dim=4096, projection_dim=256, momentum=0.996)
    assert settings_of({"name": "moco_v3"}) == MocoV3Settings(
        hidden_dim=4096, projection_dim=256, temperature=1.0, projection_layers=2, momentum=0.99
    )


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)

    def write(added: str = "") -> Path:
        Path("job.toml").write_text(JOB + added)
        return Path("job.toml")

    return write


def lines(path: Path, **overrides: object) -> list[str]:
    try:
        load("pretrain", [path], overrides={key.replace("__", "."): value for key, value in overrides.items()})
    except SettingsError as error:
        return list(error.lines)
    return []


def test_a_name_may_be_set_on_the_command_line(job):
    found = load("pretrain", [job()], overrides={"method.name": "byol", "method.momentum": 0.99})
    assert found.method == ByolSettings(momentum=0.99)  # type: ignore[attr-defined]
    assert check(job('[method]\nname = "moco_v3"')) == "pretrain"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "name = 'bol'",
            "method.name: must be one of 'simclr', 'byol', 'moco_v3', 'vicreg', 'dino', 'mae', 'lesions' (got 'bol')",
        ),
        (
            "name = 'byol'\ntemperature = 0.2",
            "method.temperature: no such key; allowed: name, batch_norm, hidden_dim, projection_dim, momentum",
        ),
        (
            "momentum = 0.9",  # no name: SimCLR's section, whose name is in no file
            "method.momentum: no such key; did you mean memory_momentum?; allowed: name, batch_norm, temperature, "
            "hidden_dim, projection_dim, projection_layers, decoupled, memory_size, memory_momentum",
        ),
        (
            "name = 'dino'\nlocal_area = [0.5, 0.4]",
            "method.local_area: must be two shares above 0, the smaller one first",
        ),
        ("name = 'dino'\nlocal_side_px = 8", "method.local_side_px: must be at least 16 (got 8)"),
        ("name = 'vicreg'\ncovariance_weight = -1.0", "method.covariance_weight: must be at least 0 (got -1.0)"),
        ("name = 'mae'\nhidden_fraction = 1.0", "method.hidden_fraction: must be below 1 (got 1.0)"),
        ("memory_size = -1", "method.memory_size: must be at least 0 (got -1)"),
        ("memory_momentum = 1.0", "method.memory_momentum: must be below 1 (got 1.0)"),
        ("temperature = 0", "method.temperature: must be above 0 (got 0)"),
        ("name = 'moco_v3'\nmomentum = 1.0", "method.momentum: must be below 1 (got 1.0)"),
        ("name = 'moco_v3'\nprojection_layers = 1", "method.projection_layers: must be at least 2 (got 1)"),
        (
            "batch_norm = 'shuffled'",
            "method.batch_norm: must be 'local' or 'synced': 'shuffled' is for methods with a momentum network "
            "(byol, moco_v3)",
        ),
        (
            "name = 'byol'\nbatch_norm = 'global'",
            "method.batch_norm: must be one of 'local', 'synced' or 'shuffled' (got 'global')",
        ),
    ],
)
def test_a_mistake_is_one_line_under_the_files_own_key(job, text, line):
    assert lines(job(f"[method]\n{text}")) == [f"job.toml: {line}"]


def test_a_name_set_on_the_command_line_does_not_fit_another_methods_keys(job):
    (line,) = lines(job("[method]\ntemperature = 0.1"), method__name="byol")
    assert line.startswith("job.toml: method.temperature: no such key")


def test_mae_has_no_second_view_for_another_eye(job):
    (line,) = lines(job('[method]\nname = "mae"'), fellow_eye_probability=0.3)
    assert line.endswith("fellow_eye_probability: must be 0 with method 'mae', which has no second view (got 0.3)")
    (line,) = lines(job('[method]\nname = "lesions"'), fellow_eye_probability=0.3)
    assert line.endswith("must be 0 with method 'lesions', which has no second view (got 0.3)")
    assert not lines(job('[method]\nname = "dino"'), fellow_eye_probability=0.3)


def test_momentum_methods_may_shuffle():
    for name in ("byol", "moco_v3"):
        assert settings_of({"name": name, "batch_norm": "shuffled"}).batch_norm == "shuffled"  # type: ignore[attr-defined]


def test_the_schema_has_every_method(capsys: pytest.CaptureFixture[str]):
    main(["config", "schema", "pretrain"])
    schema = json.loads(capsys.readouterr().out)
    mapping = schema["properties"]["method"]["discriminator"]["mapping"]
    assert set(mapping) == {"simclr", "byol", "moco_v3", "vicreg", "dino", "mae", "lesions"}
    for name, reference in mapping.items():
        assert schema["$defs"][reference.rsplit("/", 1)[1]]["properties"]["name"]["const"] == name
