"""Pydantic's findings in plain words: which key, what is wrong with it, what is allowed."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

Problem = tuple[tuple[str, ...], str]
"""The path of a key and what is wrong with it."""

_KINDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string": "must be text in quotes",
    "tuple": "must be a list, [...]",
    "list": "must be a list, [...]",
    "dict": "must be a table, [...] with keys",
    "model": "must be a table, [...] with keys",
    "finite": "must be a finite number",
}
_BOUNDS = {
    "greater_than": ("must be above", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than": ("must be below", "lt"),
    "less_than_equal": ("must be at most", "le"),
}


def dotted(path: Sequence[str]) -> str:
    """The dotted key of ``path`` as TOML writes it, other than plain names in quotes: `search.space."optim.epochs"`."""
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part) for part in path)


def wrong_keys(found: Sequence[Problem]) -> PydanticCustomError:
    """The error by which a check of a whole section names the keys below it that are wrong."""
    return PydanticCustomError("wrong_keys", "{text}", {"text": "; ".join(text for _, text in found), "found": found})


def problems(error: ValidationError, model: type[BaseModel], tree: Mapping[str, Any]) -> list[Problem]:
    """Every problem of ``tree``, which is no valid ``model``, in the order of the model's fields."""
    found: list[Problem] = []
    for entry in error.errors(include_url=False):
        path = _without_tags(entry, tree)
        if entry["type"] == "wrong_keys":
            found += [((*path, *below), text) for below, text in entry["ctx"]["found"]]
        elif entry["type"].startswith("union_tag"):
            tag = entry["ctx"]["discriminator"].strip("'")
            found.append(((*path, tag), _tag_text(entry, tag, _reach(model, path))))
        elif entry["type"] == "extra_forbidden":
            found.append((path, _unknown_text(path[-1], _reach(model, path[:-1], tags=entry["loc"]))))
        else:
            found.append((path, _value_text(entry)))
    return found


def _without_tags(entry: Any, tree: Any) -> tuple[str, ...]:
    """Where ``entry`` is, without the names of alternatives, which pydantic adds and no file has."""
    path: list[str] = []
    *_, last = entry["loc"] or (None,)
    for part in entry["loc"]:
        is_table = isinstance(tree, Mapping)
        is_absent = part is last and entry["type"] == "missing"
        if is_table and part not in tree and not is_absent:  # an alternative's name, which may be there by default only
            continue
        path.append(str(part))
        inside = (is_table and part in tree) or (isinstance(tree, list | tuple) and isinstance(part, int))
        tree = tree[part] if inside else None
    return tuple(path)


def _reach(model: type[BaseModel], path: Sequence[str], tags: Sequence[int | str] = ()) -> list[type[BaseModel]]:
    """The sections that may stand at ``path``, followed through nullable, named and alternative ones.

    Of several alternatives only those with one of ``tags`` among the values of a field, if there are such.
    """
    here: list[Any] = [model]
    for part in path:
        below: list[Any] = []
        for kind in here:
            if get_origin(kind) is dict:
                below += _alternatives(get_args(kind)[1])
            elif isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields:
                below += _alternatives(kind.model_fields[part].annotation)
        here = below
    sections = [kind for kind in here if isinstance(kind, type) and issubclass(kind, BaseModel)]
    tagged = [
        section
        for section in sections
        if any(tag in get_args(field.annotation) for field in section.model_fields.values() for tag in tags)
    ]
    return tagged if len(sections) > 1 and tagged else sections


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in _alternatives(part)]
    return [annotation]


def _tag_text(entry: Any, tag: str, sections: Sequence[type[BaseModel]]) -> str:
    """Which alternatives there are where ``tag`` names none of them."""
    names = [repr(name) for section in sections for name in get_args(section.model_fields[tag].annotation)]
    got = entry["ctx"].get("tag")
    return f"must be one of {', '.join(names)} " + (f"(got {got!r})" if got is not None else "(it is missing)")


def _unknown_text(key: str, sections: Sequence[type[BaseModel]]) -> str:
    allowed = list(dict.fromkeys(name for section in sections for name in section.model_fields))
    near = difflib.get_close_matches(key, allowed, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"no such key{hint}" + (f"; allowed: {', '.join(allowed)}" if allowed else "")


def _value_text(entry: Any) -> str:
    kind, context = entry["type"], entry.get("ctx", {})
    if kind == "missing":
        return "is required and missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "too_short":
        return f"must have at least {context['min_length']} entry"
    if kind == "literal_error":
        text = f"must be one of {context['expected']}"
    elif kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        text = f"{words} {context[bound]:g}"
    else:
        text = _KINDS.get(kind.split("_")[0], entry["msg"].replace("Input should", "must"))
    shown = str(entry["input"]).lower() if isinstance(entry["input"], bool) else repr(entry["input"])
    return f"{text} (got {shown if len(shown) <= 60 else shown[:57] + '...'})"
