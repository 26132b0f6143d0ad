"""What a student learns from, as settings: allowed values, and keys that need one another."""

from pathlib import Path

import pytest

from raydr.config.jobs import DistillSettings
from raydr.config.load import load
from raydr.errors import SettingsError

JOB = """
job = "distill"
out = "runs/out"
teacher = "runs/teacher"
data = { manifest = "manifest.parquet" }
model = { weights = "none" }
"""


@pytest.fixture
def read(tmp_path: Path):
    def settings(text: str = "", **overrides: object) -> DistillSettings:
        (tmp_path / "job.toml").write_text(JOB + text)
        return load("distill", [tmp_path / "job.toml"], overrides=overrides)

    return settings


def test_a_teacher_is_one_folder_or_several(read):
    assert read().teacher == ("runs/teacher",)
    assert read(teacher=["a", "b"]).teacher == ("a", "b")
    with pytest.raises(SettingsError, match=r"teacher: "):
        read(teacher=[])
    with pytest.raises(SettingsError, match=r"teacher.*: must be text in quotes \(got 3\)"):
        read(teacher=["a", 3])


def test_features_need_a_teacher_that_is_asked(read):
    with pytest.raises(SettingsError) as caught:
        read("[distillation]\nfeature_weight = 0.5")
    (line,) = caught.value.lines
    assert line.endswith(
        "job.toml: distillation.feature_weight: must be 0 with targets = 'cached', which holds no features (got 0.5); "
        "or set targets = 'online'"
    )
    assert read("[distillation]\nfeature_weight = 0.5\ntargets = 'online'").distillation.feature_weight == 0.5


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("", True),
        ("targets = 'online'", False),
        ("targets = 'online'\nkept_share = 0.5", True),
        ("targets = 'online'\nleast_confidence = 0.9", True),
        ("targets = 'online'\ncorrect_prior = 'balanced'", True),
    ],
)
def test_a_teacher_is_asked_beforehand_where_its_outputs_or_a_choice_among_images_are_wanted(read, text, asks):
    assert read(f"[distillation]\n{text}").distillation.asks_beforehand == asks
