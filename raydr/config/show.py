"""Settings as the TOML they could have been read from."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from raydr.config.explain import dotted


def as_toml(settings: BaseModel, *, documented: bool = False) -> str:
    """Every setting with its value, defaults included; TOML that loads to the same settings.

    TOML has no null, so what is null is a comment, as are the settings' own words where ``documented``.
    """
    return "\n".join(_lines(settings, (), documented=documented)) + "\n"


def _lines(section: Any, path: tuple[str, ...], *, documented: bool) -> Iterator[str]:
    texts = {}
    if isinstance(section, BaseModel):
        texts = {name: field.description for name, field in type(section).model_fields.items() if documented}
        entries = [(name, getattr(section, name)) for name in type(section).model_fields]
    else:
        entries = list(section.items())
    if not path:
        entries.sort(key=lambda entry: entry[0] != "job")  # the verb first, then as declared
    tables = [(name, value) for name, value in entries if isinstance(value, BaseModel | Mapping)]
    values = [(name, value) for name, value in entries if not isinstance(value, BaseModel | Mapping)]
    if path and (values or not tables):
        yield ""
        yield f"[{dotted(path)}]"
    for name, value in values:
        text = " ".join((texts.get(name) or "").split())
        yield (f"# {name} is null" if value is None else f"{dotted([name])} = {_value(value)}") + (
            f"  # {text}" if text else ""
        )
    for name, value in tables:
        yield from _lines(value, (*path, name), documented=documented)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(entry) for entry in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{dotted([key])} = {_value(entry)}" for key, entry in value.items()) + "}"
    return str(value)
