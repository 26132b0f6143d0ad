"""The simulated figures of cluster/README.md are what its command prints."""

import re
import shlex
from pathlib import Path

import pytest
from cluster_files import CLUSTER, ROOT

from raydr import cli


def test_the_readmes_command_prints_the_readmes_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = (CLUSTER / "README.md").read_text().split("\n## Scale\n")[1].split("\n## ")[0]
    command, shown = re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    program, *words = shlex.split(command)
    assert program == "raydr"
    monkeypatch.chdir(tmp_path)
    assert cli.main([str(ROOT / word) if word.endswith(".toml") else word for word in words]) == 0
    assert len(shown.splitlines()) > 15
    assert f"\n{shown}" in capsys.readouterr().out
