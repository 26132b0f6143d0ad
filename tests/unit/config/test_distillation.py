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
