"""What is read while a verb runs: one calm line at a time, for a person, or as JSON for a machine."""

import datetime
import json
import sys
from collections.abc import Mapping
from typing import Any

from raydr.workflows.result import finite

_as_json = False


def speak_json(*, wanted: bool = True) -> None:
    """From now on every line of this process is a JSON object: `time`, `text`, and what facts go with it."""
    global _as_json  # noqa: PLW0603 - a process has one standard output
    _as_json = wanted


def is_terminal() -> bool:
    """Whether what was printed can be rewritten."""
    return sys.stdout.isatty() and not _as_json


def say(text: str, **facts: Any) -> None:
    """Print one line at once, so that the log of a submitted job shows it.

    Args:
        text: For a person.
        facts: The same for a machine, by name; numbers that are none become null.
    """
    sys.stdout.write((_json_line(text, facts) if _as_json else text) + "\n")
    sys.stdout.flush()


def _json_line(text: str, facts: Mapping[str, Any]) -> str:
    time = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": time, "text": text.strip(), **finite(facts)}, default=str, ensure_ascii=False)


def epoch_text(verb: str, metrics: Mapping[str, float], *, epochs: int) -> str:
    """One line for an epoch: number, figures, pace, seconds."""
    apart = ("epoch", "seconds", "images_per_s", "data_wait")
    shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name not in apart)
    pace = f"  {metrics['images_per_s']:.0f} images/s" if "images_per_s" in metrics else ""
    return f"  {verb} epoch {int(metrics['epoch']) + 1}/{epochs}  {shown}{pace}  {metrics.get('seconds', 0):.1f} s"


def duration(seconds: float) -> str:
    """Seconds as a person writes them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
