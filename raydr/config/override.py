"""One dotted-override function, for `--set`, Tune samples and tests."""

import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Settings = TypeVar("Settings", bound=BaseModel)


def parse_value(text: str) -> Any:
    """The TOML value of ``text`` (`3e-4`, `true`, `[1, 2]`), or the text itself where it is none; `null` is None."""
    if text == "null":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def set_dotted(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set ``tree["a"]["b"]`` for the key ``a.b``, making missing tables; ValueError where the path is no table."""
    *path, last = key.split(".")
    here = tree
    for part in path:
        if here.get(part) is None:
            here[part] = {}
        here = here[part]
        if not isinstance(here, dict):
            raise ValueError(f"{key}: {part} is a value, not a table")
    here[last] = value


def with_overrides(settings: Settings, overrides: Mapping[str, Any], *, where: str = "") -> Settings:
    """``settings`` with dotted keys replaced, validated anew; ValueError naming the key and what is allowed."""
    tree = settings.model_dump(mode="json")
    for key, value in overrides.items():
        set_dotted(tree, key, value)
    try:
        return type(settings).model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where or path}: {explain(first['msg'])} (got {first['input']!r})") from None


def explain(message: str) -> str:
    """Pydantic's message in plain words."""
    if message.startswith("Extra inputs"):
        return "no such key"
    return message.removeprefix("Value error, ").removesuffix(".")
