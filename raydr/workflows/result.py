"""What a verb leaves behind: `result.json` in its folder."""

import dataclasses
import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raydr import storage
from raydr.config.applied import is_table
from raydr.errors import InputError

RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What was done, with what, and where it is."""

    verb: str
    out: str
    settings_digest: str
    started: str
    """UTC, ISO 8601."""
    seconds: float
    mlflow_run_id: str
    metrics: Mapping[str, Any]
    artifacts: Mapping[str, str]
    """URIs by name."""
    inputs: Mapping[str, str]
    """Digests by name."""
    up_to_date: bool = field(default=False, compare=False)
    """Whether it had been done before, with the same settings and inputs, and was not done again."""

    def again(self) -> "StageResult":
        """The same result, found rather than made."""
        return dataclasses.replace(self, up_to_date=True)

    @property
    def uri(self) -> str:
        """Where it is kept."""
        return result_uri(self.out)


def now() -> str:
    """The time, as results state it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def result_uri(out: str) -> str:
    """Where `result.json` of ``out`` is."""
    return beside(out, RESULT)


def beside(out: str, name: str) -> str:
    """A file in the folder ``out``; beside it, with its name before, where ``out`` is a single file."""
    return f"{out.removesuffix('.parquet')}.{name}" if is_table(out) else storage.join(out, name)


def write_result(result: StageResult) -> None:
    """Write `result.json`, whole or not at all; what is not a number is null there."""
    content = {key: value for key, value in dataclasses.asdict(result).items() if key != "up_to_date"}
    text = json.dumps(finite(content), indent=2, allow_nan=False)
    storage.write_bytes(result.uri, text.encode())


def read_result(out: str) -> StageResult | None:
    """The result in ``out``, None where there is none; InputError where the file is no result."""
    uri = result_uri(out)
    if not storage.exists(uri):
        return None
    try:
        return StageResult(**json.loads(storage.read_bytes(uri)))
    except (ValueError, TypeError) as error:
        raise InputError(f"{uri}: is no result of raydr: {error}") from None


def finite(value: Any) -> Any:
    """``value`` as JSON can hold it: what is not a finite number is null."""
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
