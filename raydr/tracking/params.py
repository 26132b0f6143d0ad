"""Settings, tags and metrics in the form MLflow takes them."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from raydr.tracking.store import without_credentials

# MLflow's limits, in characters; a server refuses the whole batch for one name or value beyond them.
_MAX_KEY: Final = 250
_MAX_PARAM: Final = 6000
_MAX_TAG: Final = 8000
_REFUSED: Final = re.compile(r"[^\w\-./ ]", re.ASCII)
_NO_PLAIN_PATH: Final = re.compile(r"^[./]+|/+$|/(?=[./])")  # names stand for files and may not point elsewhere


def flatten(settings: Mapping[str, Any]) -> dict[str, str]:
    """Nested settings as dotted keys and text: numbers and lists as JSON, long text cut, passwords in URLs hidden."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= {clean_key(f"{key}.{inner}"): text for inner, text in flatten(value).items()}
        else:
            flat[clean_key(str(key))] = _text(value, _MAX_PARAM)
    return flat


def clean_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Tags with names and lengths that MLflow takes."""
    return {clean_key(key): _text(value, _MAX_TAG) for key, value in tags.items()}


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that are finite numbers, under names that MLflow takes."""
    numbers = {clean_key(key): _number(value) for key, value in metrics.items()}
    return {key: value for key, value in numbers.items() if math.isfinite(value)}


def clean_key(key: str) -> str:
    """``key`` as MLflow takes it: other characters become ``_``, a long one is cut and told apart by a digest."""
    clean = _NO_PLAIN_PATH.sub("_", _REFUSED.sub("_", key)) or "_"
    if len(clean) <= _MAX_KEY:
        return clean
    return f"{clean[: _MAX_KEY - 9]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def _text(value: object, limit: int) -> str:
    plain = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = without_credentials(plain)
    if len(text) <= limit:
        return text
    note = f"… ({len(text)} characters)"
    return text[: limit - len(note)] + note


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
