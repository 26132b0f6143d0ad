"""TOML files, overlays and overrides into validated settings; every error names file and key."""

import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raydr.config.explain import dotted, problems
from raydr.config.jobs import JOBS, Job
from raydr.config.override import parse_value, set_dotted
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


def assignments(texts: Sequence[str]) -> dict[str, Any]:
    """The values of dotted keys, written KEY=VALUE each."""
    found: dict[str, Any] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            raise SettingsError([f"{COMMAND_LINE}: --set {text}: has no value; write --set KEY=VALUE"])
        found[key.strip()] = parse_value(value.strip())
    return found


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
    origins, tree = _gather(files, overrides or {})
    if all(key in OVERLAY_SECTIONS for _, part in origins[:-1] for key in part):
        tree.setdefault("job", verb)
    if tree.get("job") != verb:
        name = next((name for name, part in reversed(origins) if "job" in part), origins[0][0])
        found = f"is {tree['job']!r}" if "job" in tree else "is required and missing"
        raise SettingsError([f'{name}: job: {found}, but this is `raydr {verb}`; write job = "{verb}"'])
    try:
        return JOBS[verb].model_validate(tree)
    except ValidationError as error:
        raise SettingsError(_lines(error, origins, JOBS[verb], tree)) from None


def load_any(files: Sequence[Path], *, overrides: Mapping[str, Any] | None = None) -> Job:
    """The settings of the verb that the files are for; of a site alone, with an empty `out`, where they are overlays.

    Raises:
        SettingsError: As of `load`.
    """
    origins, tree = _gather(files, overrides or {})
    if "job" in tree:
        name = next(name for name, part in reversed(origins) if "job" in part)
        return load(_verb(name, tree["job"]), files, overrides=overrides)
    try:
        return Job.model_validate({"out": "", **tree})
    except ValidationError as error:
        raise SettingsError(_lines(error, origins, Job, tree)) from None


def _gather(files: Sequence[Path], overrides: Mapping[str, Any]) -> tuple[list[Origin], dict[str, Any]]:
    """What each file says, and the command line as the last, and all of it in one tree."""
    origins: list[Origin] = [(str(path), read_toml(path)) for path in files]
    tree: dict[str, Any] = {}
    for _, part in origins:
        _merge(tree, deepcopy(dict(part)))
    changes: dict[str, Any] = {}
    for key, value in overrides.items():
        try:
            set_dotted(tree, key, value)
            set_dotted(changes, key, value)
        except ValueError as error:
            raise SettingsError([f"{COMMAND_LINE}: {error}"]) from None
    return [*origins, (COMMAND_LINE, changes)], tree


def _verb(name: str, verb: Any) -> str:
    """``verb``, found as `job` in the file ``name``, if it is one."""
    if not isinstance(verb, str) or verb not in JOBS:
        raise SettingsError([f"{name}: job: {verb!r} is no verb; allowed: {', '.join(JOBS)}"])
    return verb


def check(path: Path) -> str:
    """What a valid file is (a verb's name or `overlay`), or a SettingsError; an overlay holds only site sections."""
    tree = read_toml(path)
    if "job" in tree:
        verb = _verb(str(path), tree["job"])
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
