"""One dotted-override function, for `--set`, Tune samples and tests."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from raydr.config.explain import dotted, problems

Settings = TypeVar("Settings", bound=BaseModel)
_PART = r'(?:"[^"]+"|[^".\s]+)'


def parse_value(text: str) -> Any:
    """The TOML value of ``text`` (`3e-4`, `true`, `[1, 2]`), or the text itself where it is none; `null` is None."""
    if text == "null":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def split_key(key: str) -> list[str]:
    """The parts of a dotted key, `a."b.c".d` being a, b.c and d; ValueError where it is no dotted key."""
    if not re.fullmatch(rf"{_PART}(\.{_PART})*", key):
        raise ValueError(f'{key!r} is no dotted key; write a.b.c, and a."b.c" where a name has a dot in it')
    return [part.strip('"') for part in re.findall(_PART, key)]


def set_dotted(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set ``tree["a"]["b"]`` for the key ``a.b``, making missing tables; ValueError where the path is no table."""
    *path, last = split_key(key)
    here = tree
    for part in path:
        if here.get(part) is None:
            here[part] = {}
        here = here[part]
        if not isinstance(here, dict):
            raise ValueError(f"{key}: {part} is a value, not a table")
    here[last] = value


def with_overrides(settings: Settings, overrides: Mapping[str, Any], *, where: str = "") -> Settings:
    """``settings`` with dotted keys replaced, validated anew; ValueError naming the key and what is allowed.

    Args:
        settings: Any section; it is not changed.
        overrides: Dotted keys of it and their values; a table is replaced whole.
        where: What stands before the key in the message, such as a file's name.
    """
    tree = settings.model_dump(mode="json")
    for key, value in overrides.items():
        set_dotted(tree, key, value.item() if hasattr(value, "item") else value)  # numpy scalars of a sampler
    try:
        return type(settings).model_validate(tree)
    except ValidationError as error:
        path, text = problems(error, type(settings), tree)[0]
        raise ValueError(": ".join(part for part in (where, dotted(path), text) if part)) from None
