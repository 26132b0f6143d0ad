"""The files of cluster/ as the tests read them, and errors planted in them."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
CLUSTER = ROOT / "cluster"
IN_IMAGE = "/home/ray/raydr"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

Manifest = dict[str, Any]


def pin(package: str) -> str:
    """The version of a package that was tested."""
    found = re.search(rf"^{re.escape(package)}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found, package
    return found[1]


def documents(path: Path) -> list[Manifest]:
    """Every document of a YAML file; anchors become copies, so that a planted error does not spread."""
    return [json.loads(json.dumps(document)) for document in yaml.safe_load_all(path.read_text())]


def plant(manifest: Manifest, path: str, value: Any) -> None:
    """Set what is at a path such as `spec/groups/0/name`; None deletes it."""
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    here: Any = manifest
    for part in way:
        here = here[part]
    if value is None:
        del here[last]
    else:
        here[last] = value


def in_repository(path: str) -> Path:
    """Where the repository has what the image has at a path."""
    return ROOT / path.removeprefix(f"{IN_IMAGE}/")
