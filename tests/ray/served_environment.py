"""An environment of this interpreter that has what a model's requirements bring, and nothing else: no raydr, no Ray."""

import importlib.metadata
import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

_TOOLS = {"pip", "setuptools", "wheel"}  # of every environment
_GATE = """
import json, os, sys
from pathlib import Path

_REFUSED = frozenset(json.loads(Path(__file__).with_name("refused.json").read_text()))
sys.path[:] = [entry for entry in sys.path if not os.path.isdir(os.path.join(entry, "raydr"))]


class Gate:
    # A finder that does not find what is refused: as if it were not installed, for whoever only asks too.

    def __init__(self, finder):
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in _REFUSED else self._finder.find_spec(name, path, target)


sys.meta_path[:] = [Gate(finder) for finder in sys.meta_path]
"""


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(requirements: Iterable[str]) -> set[str]:
    """The distributions that installing these requirements brings here, by canonical name."""
    found: set[tuple[str, str]] = set()
    waiting = [(Requirement(line), "") for line in requirements]
    while waiting:
        requirement, _ = waiting.pop()
        for extra in ("", *requirement.extras):
            key = (_canonical(requirement.name), extra)
            if key in found:
                continue
            try:
                needed = importlib.metadata.requires(requirement.name) or []
            except importlib.metadata.PackageNotFoundError:
                continue
            found.add(key)
            parsed = [Requirement(line) for line in needed]
            waiting += [(each, "") for each in parsed if each.marker is None or each.marker.evaluate({"extra": extra})]
    return {name for name, _ in found} | _TOOLS


def environment_of(requirements: Iterable[str], folder: Path) -> dict[str, str]:
    """The variables of a process that can import what the requirements bring; ``folder`` holds what that takes."""
    allowed = closure(requirements)
    refused = [
        name
        for name, owners in importlib.metadata.packages_distributions().items()
        if not {_canonical(owner) for owner in owners} & allowed
    ]
    folder.mkdir()
    (folder / "refused.json").write_text(json.dumps([name for name in refused if name != "raydr"]))
    (folder / "sitecustomize.py").write_text(_GATE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_", "PYTHON"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return {**kept, "PATH": path, "PYTHONPATH": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true"}
