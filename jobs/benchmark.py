"""What every benchmark here has in common: contenders interleaved in one run, their table, their JSON."""

import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raydr.reporting.table import terminal_table


@dataclass(frozen=True)
class Figure:
    """One measured quantity of one contender, a value a round."""

    unit: str
    runs: list[float]

    def as_json(self) -> dict[str, object]:
        """Median, minimum, maximum and the runs themselves."""
        return {
            "unit": self.unit,
            "median": statistics.median(self.runs),
            "min": min(self.runs),
            "max": max(self.runs),
            "runs": self.runs,
        }


def arguments(description: str) -> argparse.ArgumentParser:
    """The parser that every benchmark starts from."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds: does it run, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--rounds", type=int, help="measurements of each contender (5, with --quick 1)")
    return parser


def interleaved(
    contenders: Mapping[str, Callable[[], Mapping[str, float]]], *, rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Every contender's figures, a value a round; each round starts with another contender."""
    names = list(contenders)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            figures = contenders[name]()
            for figure, value in figures.items():
                found[name].setdefault(figure, []).append(value)
            told = ", ".join(f"{figure} {value:.4g}" for figure, value in figures.items())
            sys.stderr.write(f"round {number + 1}/{rounds}  {name}: {told}\n")
    return found


def publish(contenders: Mapping[str, Figure], ratios: Sequence[tuple[str, str]], *, file: Path | None) -> None:
    """Print the table and, where a file is named, write the JSON; a ratio is the median of the rounds' own ratios."""
    by_ratio = {
        f"{one}/{other}": [a / b for a, b in zip(contenders[one].runs, contenders[other].runs, strict=True)]
        for one, other in ratios
        if one in contenders and other in contenders
    }
    system = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    content = {
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "machine": f"{os.cpu_count()} CPUs, {system}",
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "contenders": {name: figure.as_json() for name, figure in contenders.items()},
        "ratios": {name: statistics.median(values) for name, values in by_ratio.items()},
    }
    rows = [
        [name, f"{statistics.median(one.runs):.1f}", f"{min(one.runs):.1f}", f"{max(one.runs):.1f}", one.unit]
        for name, one in contenders.items()
    ]
    sys.stdout.write(terminal_table(rows, ["contender", "median", "min", "max", "unit"]) + "\n\n")
    told = [[name, f"{statistics.median(v):.2f}", f"{min(v):.2f}", f"{max(v):.2f}"] for name, v in by_ratio.items()]
    sys.stdout.write(terminal_table(told, ["ratio", "median", "min", "max"]) + "\n")
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=2) + "\n")
