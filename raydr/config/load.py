"""TOML files, overlays and overrides into validated settings; every error names file and key."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from raydr.config.jobs import JOBS, Job
from raydr.config.override import explain, set_dotted
from raydr.errors import SettingsError

OVERLAY_SECTIONS = ("cluster", "tracking")


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


def _holds(tree: Any, path: Sequence[Any]) -> bool:
    for part in path:
        if not isinstance(tree, Mapping) or part not in tree:
            return False
        tree = tree[part]
    return True


def _allowed_keys(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """The keys of the section at ``path``, as far as it can be followed through plain sections."""
    here: Any = model
    for part in path:
        field = here.model_fields.get(part) if isinstance(here, type) and issubclass(here, BaseModel) else None
        kinds = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        here = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if here is None:
            return []
    return list(here.model_fields)


def _line(error: Any, origins: Sequence[tuple[str, Mapping[str, Any]]], model: type[Job]) -> str:
    path = [part for part in error["loc"] if part not in ("uniform", "loguniform", "choice")]
    origin = next((name for name, tree in reversed(origins) if _holds(tree, path)), origins[0][0])
    text = explain(error["msg"])
    if error["type"] == "extra_forbidden":
        allowed = _allowed_keys(model, path[:-1])
        near = difflib.get_close_matches(str(path[-1]), allowed, n=1)
        hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(allowed)}" if allowed else ""
        text = f"no such key; {hint}" if hint else "no such key"
    elif error["type"] == "missing":
        text = "is required and missing"
    elif not isinstance(error["input"], Mapping | BaseModel):
        text += f" (got {error['input']!r})"
    key = ".".join(str(part) for part in path)
    return f"{origin}: {key}: {text}" if key else f"{origin}: {text}"


def load(
    verb: str,
    files: Sequence[Path],
    *,
    overrides: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Job:
    """The settings of ``verb`` from TOML files, later ones over earlier ones, then overrides of dotted keys.

    Raises:
        SettingsError: one line per bad key, `file: key: what is wrong, what is allowed`.
    """
    origins: list[tuple[str, Mapping[str, Any]]] = [("command line", dict(defaults or {}))] if defaults else []
    origins += [(str(path), read_toml(path)) for path in files]
    tree: dict[str, Any] = {"job": verb} if not files else {}
    for _, part in origins:
        _merge(tree, part)
    changes: dict[str, Any] = {}
    for key, value in (overrides or {}).items():
        try:
            set_dotted(tree, key, value)
            set_dotted(changes, key, value)
        except ValueError as error:
            raise SettingsError([f"--set: {error}"]) from None
    origins.append(("--set", changes))
    if tree.get("job") != verb:
        names = ", ".join(str(path) for path in files)
        found = tree.get("job", "missing")
        raise SettingsError([f'{names}: job: is {found!r}, but this is `raydr {verb}`; write job = "{verb}"'])
    try:
        return JOBS[verb].model_validate(tree)
    except ValidationError as error:
        raise SettingsError([_line(found, origins, JOBS[verb]) for found in error.errors()]) from None


def check(path: Path) -> str:
    """What a valid file is (a verb's name or `overlay`), or a SettingsError; an overlay holds only site sections."""
    tree = read_toml(path)
    if "job" in tree:
        verb = tree["job"]
        if verb not in JOBS:
            raise SettingsError([f"{path}: job: {verb!r} is no verb; allowed: {', '.join(JOBS)}"])
        load(verb, [path])
        return str(verb)
    foreign = [key for key in tree if key not in OVERLAY_SECTIONS]
    if foreign or not tree:
        allowed = ", ".join(OVERLAY_SECTIONS)
        raise SettingsError(
            [f"{path}: {foreign[0] if foreign else 'job'}: a job file needs job; an overlay has only {allowed}"]
        )
    try:
        Job.model_validate({"out": "unused", **tree})
    except ValidationError as error:
        raise SettingsError([_line(found, [(str(path), tree)], Job) for found in error.errors()]) from None
    return "overlay"
