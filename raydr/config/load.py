"""TOML files, overlays and overrides into validated settings; every error names file and key."""

import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raydr.config.explain import dotted, problems
from raydr.config.jobs import JOBS, Job
from raydr.config.override import set_dotted
from raydr.errors import SettingsError

OVERLAY_SECTIONS = ("cluster", "tracking")
COMMAND_LINE = "command line"
Origin = tuple[str, Mapping[str, Any]]
"""Where settings come from and the tree found there."""


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file, or a SettingsError that names the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError([f"{path}: cannot be read: {error.strerror or error}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: not valid TOML: {error}"]) from None


def _merge(base: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    for key, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _depth(tree: Any, path: Sequence[str]) -> int:
    """How many parts of ``path`` are in ``tree``."""
    for depth, part in enumerate(path):
        if not isinstance(tree, Mapping) or part not in tree:
            return depth
        tree = tree[part]
    return len(path)


def _lines(error: ValidationError, origins: Sequence[Origin], model: type[Job], tree: Mapping[str, Any]) -> list[str]:
    """One line a problem; it names the last origin that says anything there, or else the job file."""
    main = next((name for name, part in origins if "job" in part), origins[0][0])
    lines = []
    for path, text in problems(error, model, tree):
        depths = [_depth(part, path) for _, part in origins]
        deepest = max(depths)
        names = [name for (name, _), depth in zip(origins, depths, strict=True) if depth == deepest]
        lines.append(": ".join(part for part in (names[-1] if deepest else main, dotted(path), text) if part))
    return lines


def load(
    verb: str,
    files: Sequence[Path],
    *,
    overrides: Mapping[str, Any] | None = None,
) -> Job:
    """The settings of ``verb`` from TOML files, later ones over earlier ones, then overrides of dotted keys.

    Args:
        verb: A key of `JOBS`.
        files: A job file and overlays; overlays alone are enough where the overrides hold the rest.
        overrides: Values of dotted keys, over every file.

    Raises:
        SettingsError: one line per bad key, `file: key: what is wrong, what is allowed`.
    """
    origins: list[Origin] = [(str(path), read_toml(path)) for path in files]
    tree: dict[str, Any] = {}
    for _, part in origins:
        _merge(tree, deepcopy(dict(part)))
    if all(key in OVERLAY_SECTIONS for _, part in origins for key in part):
        tree["job"] = verb
    changes: dict[str, Any] = {}
    for key, value in (overrides or {}).items():
        try:
            set_dotted(tree, key, value)
            set_dotted(changes, key, value)
        except ValueError as error:
            raise SettingsError([f"{COMMAND_LINE}: {error}"]) from None
    origins.append((COMMAND_LINE, changes))
    if tree.get("job") != verb:
        name = next((name for name, part in reversed(origins) if "job" in part), origins[0][0])
        found = f"is {tree['job']!r}" if "job" in tree else "is required and missing"
        raise SettingsError([f'{name}: job: {found}, but this is `raydr {verb}`; write job = "{verb}"'])
    try:
        return JOBS[verb].model_validate(tree)
    except ValidationError as error:
        raise SettingsError(_lines(error, origins, JOBS[verb], tree)) from None


def check(path: Path) -> str:
    """What a valid file is (a verb's name or `overlay`), or a SettingsError; an overlay holds only site sections."""
    tree = read_toml(path)
    if "job" in tree:
        verb = tree["job"]
        if not isinstance(verb, str) or verb not in JOBS:
            raise SettingsError([f"{path}: job: {verb!r} is no verb; allowed: {', '.join(JOBS)}"])
        load(verb, [path])
        return verb
    foreign = [key for key in tree if key not in OVERLAY_SECTIONS]
    if foreign or not tree:
        allowed = ", ".join(OVERLAY_SECTIONS)
        raise SettingsError(
            [f"{path}: {foreign[0] if foreign else 'job'}: a job file needs job = VERB; an overlay has only {allowed}"]
        )
    try:
        Job.model_validate({"out": "unused", **tree})
    except ValidationError as error:
        raise SettingsError(_lines(error, [(str(path), tree)], Job, tree)) from None
    return "overlay"
