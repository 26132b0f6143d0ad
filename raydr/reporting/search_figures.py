"""The figures of training: what the search tried, which settings mattered and how the metrics moved."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from markupsafe import Markup

from raydr.metrics.importance import Importance, are_numbers, importance
from raydr.reporting.plot import Axis, Plot, nice_axis
from raydr.reporting.wording import metric, setting, share

_NO_METRICS = ("epoch", "seconds", "val_auc_se")
_LOG_FROM = 5  # times the smallest value, where a logarithmic axis shows more
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
    def standard_error(self) -> float | None:
        """Of that AUC."""

    @property
    def not_told_apart(self) -> bool:
        """Whether it is within one standard error of the best one, or that one."""

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


def importances(trials: Sequence[SearchTrial]) -> dict[str, Importance]:
    """How much each setting has to do with the validation AUC, the most important first; empty where none is known."""
    reported = [trial for trial in trials if math.isfinite(_auc(trial))]
    aucs = np.array([_auc(trial) for trial in reported])
    found = {name: importance([trial.settings.get(name) for trial in reported], aucs) for name in short_names(trials)}
    known = {name: value for name, value in found.items() if value is not None}
    return dict(sorted(known.items(), key=lambda entry: -entry[1].share))


def importance_bars(found: Mapping[str, Importance], labels: Mapping[str, str]) -> Markup:
    """A bar for each setting, with the share that chance alone reaches in one of twenty searches."""
    line, left, right, width = 26.0, 128.0, 52.0, 400.0
    across = width - left - right
    parts = []
    for row, (name, value) in enumerate(found.items()):
        top = line * row
        text, part, chance = labels[name], max(0.0, value.share), min(1.0, max(0.0, value.chance))
        parts.append(
            Markup(
                '<text class="axis end" x="{0:.0f}" y="{1:.1f}">{2}</text>'
                '<rect class="track" x="{3:.0f}" y="{4:.1f}" width="{5:.1f}" height="11" rx="3"/>'
                '<rect class="share {6}" x="{3:.0f}" y="{4:.1f}" width="{7:.1f}" height="11" rx="3"/>'
                '<line class="limit" x1="{8:.1f}" x2="{8:.1f}" y1="{9:.1f}" y2="{10:.1f}"/>'
                '<text x="{11:.0f}" y="{1:.1f}">{12}</text>'
            ).format(
                left - 10,
                top + 15.5,
                text if len(text) < 20 else text[:18] + "…",
                left,
                top + 6,
                across,
                "sure" if value.is_above_chance else "unsure",
                max(1.0, across * part),
                left + across * chance,
                top + 2.5,
                top + 20.5,
                left + across + 8,
                share(part),
            )
        )
    words = ", ".join(f"{labels[name]} {share(max(0.0, value.share))}" for name, value in found.items())
    return Markup(
        '<svg class="bars" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="Importance: {}">{}</svg>'
    ).format(width, line * len(found), words, Markup("").join(parts))


def setting_axis(values: Sequence[Any], label: str) -> tuple[Axis, list[float]]:
    """An axis for a setting's values, and where on it each of them is."""
    if are_numbers(values):
        numbers = [float(value) for value in values]
        is_log = min(numbers) > 0 and max(numbers) / min(numbers) >= _LOG_FROM
        return nice_axis(numbers, label, is_log=is_log), numbers
    choices = sorted({setting(value) for value in values})
    places = tuple(float(place) for place in range(len(choices)))
    axis = Axis(-0.5, len(choices) - 0.5, label, places, write=lambda place: choices[int(place)])
    return axis, [float(choices.index(setting(value))) for value in values]


def kind_of(trial: SearchTrial, *, is_best: bool) -> str:
    """How a trial is drawn: the best one, one that is not told apart from it, another one."""
    return "best" if is_best else "close" if trial.not_told_apart else "other"


def trial_scatter(trials: Sequence[SearchTrial], name: str, label: str) -> Markup:
    """Validation AUC of every trial that reported one and has the setting, against it ("slice").

    A band shows how far below the best one its standard error reaches.
    """
    reported = [trial for trial in ranked(trials) if math.isfinite(_auc(trial))]
    best, error = reported[0], reported[0].standard_error or 0.0
    shown = [trial for trial in reported if trial.settings.get(name) is not None]
    horizontal, numbers = setting_axis([trial.settings[name] for trial in shown], label)
    if horizontal.is_log:
        horizontal = dataclasses.replace(horizontal, label=f"{label} (log scale)")
    vertical = nice_axis([_auc(trial) for trial in reported], "Validation AUC")
    plot = Plot(horizontal, vertical, f"Validation AUC of the trials by {label}", height=300)
    top, bottom = _auc(best), max(vertical.low, _auc(best) - error) if math.isfinite(error) else _auc(best)
    ends = (horizontal.low, horizontal.high)
    plot.area([(x, bottom) for x in ends], [(x, top) for x in ends], "tie")
    for trial, number in reversed(list(zip(shown, numbers, strict=True))):
        kind = kind_of(trial, is_best=trial is best)
        style = f"trial {kind} {'whole' if is_whole(trial.status) else 'cut'}"
        plot.dot(
            number,
            _auc(trial),
            style,
            title=describe(trial, (name,), {name: label}),
            radius=6 if kind == "best" else 4.5,
        )
    return plot.svg()


def describe(trial: SearchTrial, names: Sequence[str], labels: Mapping[str, str]) -> str:
    """A trial in a line, for those who point at it."""
    error = trial.standard_error
    spread = f" ± {error:.3f}" if error is not None and math.isfinite(error) else ""
    values = ", ".join(f"{labels[name]} {setting(trial.settings[name])}" for name in names if name in trial.settings)
    return f"Trial {trial.number}: AUC {_auc(trial):.3f}{spread}, {values}, {trial.status}"


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
        plot.line(line, f"curve line-{place}", name=metric(name))
        x, y = line[-1]
        plot.dot(x, y, f"mark line-{place}", title=f"{name} {y:.4g} after epoch {x:g}", radius=3.5)
    return plot.svg()


def _value(entry: Mapping[str, float | None], name: str) -> float:
    """A metric of an epoch; NaN where the epoch has not got it (files write null for NaN)."""
    found = entry.get(name)
    return math.nan if found is None else float(found)


def _auc(trial: SearchTrial) -> float:
    return math.nan if trial.validation_auc is None else trial.validation_auc
