"""The figures of training: what the search tried and how the metrics moved."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from markupsafe import Markup

from raydr.metrics.roc import Floats
from raydr.reporting.plot import Axis, Plot, nice_axis
from raydr.reporting.wording import setting

_NO_METRICS = ("epoch", "seconds")
_MAX_LINES = 4  # as many line styles as the style sheet has


class SearchTrial(Protocol):
    """What is drawn of a trial."""

    @property
    def number(self) -> int:
        """Its number in the search."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What it tried."""

    @property
    def validation_auc(self) -> float | None:
        """None where it never reported."""

    @property
    def status(self) -> str:
        """How it ended."""


def ranked(trials: Sequence[SearchTrial]) -> list[SearchTrial]:
    """Trials with the best validation AUC first, those without one last."""
    return sorted(trials, key=lambda trial: (-_auc(trial) if math.isfinite(_auc(trial)) else math.inf, trial.number))


def short_names(trials: Sequence[SearchTrial]) -> dict[str, str]:
    """The settings that differ between trials, each with the shortest ending of its name that no other one has."""
    names = sorted({name for trial in trials for name in trial.settings})
    values = {name: {str(trial.settings.get(name)) for trial in trials} for name in names}
    varied = [name for name in names if len(values[name]) > 1] or names
    endings = [name.rpartition(".")[2] for name in varied]
    return {name: ending if endings.count(ending) == 1 else name for name, ending in zip(varied, endings, strict=True)}


def strongest_settings(trials: Sequence[SearchTrial]) -> list[str]:
    """The settings by how much of the validation AUC's variance they explain, adjusted for degrees of freedom.

    Numbers by the squared rank correlation, choices by the share between groups. Empty where nothing can be told.
    """
    reported = [trial for trial in trials if math.isfinite(_auc(trial))]
    aucs = np.array([_auc(trial) for trial in reported])
    if len(reported) < 3 or not np.ptp(aucs) > 0:
        return []
    strengths = {
        name: _strength([trial.settings.get(name) for trial in reported], aucs) for name in short_names(trials)
    }
    known = {name: strength for name, strength in strengths.items() if math.isfinite(strength)}
    return sorted(known, key=lambda name: -known[name])


def _strength(values: Sequence[Any], aucs: Floats) -> float:
    if len({str(value) for value in values}) < 2:
        return math.nan
    if _are_numbers(values):
        num_free = 1
        explained = float(np.corrcoef(_ranks(np.array(values, dtype=np.float64)), _ranks(aucs))[0, 1]) ** 2
    else:
        groups = np.unique([str(value) for value in values], return_inverse=True)[1]
        num_free = int(groups.max())
        means = np.bincount(groups, weights=aucs) / np.bincount(groups)
        explained = float(((means[groups] - aucs.mean()) ** 2).sum() / ((aucs - aucs.mean()) ** 2).sum())
    remaining = len(values) - 1 - num_free
    return 1 - (1 - explained) * (len(values) - 1) / remaining if remaining > 0 else math.nan


def trial_scatter(trials: Sequence[SearchTrial], name: str, label: str) -> Markup:
    """Validation AUC of every trial that reported one against one of its settings."""
    reported = [trial for trial in ranked(trials) if math.isfinite(_auc(trial))]
    values = [trial.settings.get(name) for trial in reported]
    vertical = nice_axis([_auc(trial) for trial in reported], "Validation AUC")
    if _are_numbers(values):
        numbers = [float(value) for value in values if value is not None]
        is_log = min(numbers) > 0 and max(numbers) / min(numbers) >= 20
        horizontal = nice_axis(numbers, f"{label} (log scale)" if is_log else label, is_log=is_log)
    else:
        choices = sorted({setting(value) for value in values})
        numbers = [float(choices.index(setting(value))) for value in values]
        places = tuple(float(place) for place in range(len(choices)))
        horizontal = Axis(-0.5, len(choices) - 0.5, label, places, write=lambda place: choices[int(place)])
    plot = Plot(horizontal, vertical, f"Validation AUC of the trials by {label}")
    for place in reversed(range(len(reported))):
        trial = reported[place]
        kind = "best" if place == 0 else "whole" if is_whole(trial.status) else "stopped"
        title = f"Trial {trial.number}: AUC {_auc(trial):.3f}, {label} {setting(values[place])}, {trial.status}"
        plot.dot(numbers[place], _auc(trial), f"trial {kind}", title=title, radius=6 if place == 0 else 4.5)
    return plot.svg()


def is_whole(status: str) -> bool:
    """Whether a trial was trained to its end."""
    return status.lower() in {"completed", "complete", "finished", "terminated", "done"}


def curve_groups(epochs: Sequence[Mapping[str, float | None]]) -> dict[str, list[str]]:
    """Metrics of a stage by picture: those with the same last word share one, such as the losses."""
    names = dict.fromkeys(name for entry in epochs for name in entry if name not in _NO_METRICS)
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if any(math.isfinite(_value(entry, name)) for entry in epochs):
            groups[name.replace("/", "_").rpartition("_")[2]].append(name)
    return {kind: found[:_MAX_LINES] for kind, found in groups.items()}


def curves(stage: str, epochs: Sequence[Mapping[str, float | None]], names: Sequence[str], kind: str) -> Markup:
    """Metrics of a stage by epoch."""
    lines = {
        name: [
            (float(place) if math.isnan(_value(entry, "epoch")) else _value(entry, "epoch"), _value(entry, name))
            for place, entry in enumerate(epochs)
            if math.isfinite(_value(entry, name))
        ]
        for name in names
    }
    points = [point for line in lines.values() for point in line]
    horizontal = nice_axis([x for x, _ in points], "Epoch", smallest_step=1)
    vertical = nice_axis([y for _, y in points], kind)
    plot = Plot(horizontal, vertical, f"{kind} of {stage} by epoch", height=240)
    for place, (name, line) in enumerate(lines.items()):
        plot.line(line, f"curve line-{place}")
        x, y = line[-1]
        plot.dot(x, y, f"mark line-{place}", title=f"{name} {y:.4g} after epoch {x:g}", radius=3.5)
    return plot.svg()


def _value(entry: Mapping[str, float | None], name: str) -> float:
    """A metric of an epoch; NaN where the epoch has not got it (files write null for NaN)."""
    found = entry.get(name)
    return math.nan if found is None else float(found)


def _auc(trial: SearchTrial) -> float:
    return math.nan if trial.validation_auc is None else trial.validation_auc


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _ranks(values: Floats) -> Floats:
    """Ranks from 0, ties sharing their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = np.cumsum(counts) - (counts + 1) / 2
    return ranks[place]
