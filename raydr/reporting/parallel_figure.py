"""The figure of all settings at once: parallel coordinates, a line a trial, the validation AUC at the right."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from markupsafe import Markup

from raydr.reporting.plot import Axis, nice_axis
from raydr.reporting.search_figures import SearchTrial, describe, kind_of, ranked, setting_axis

_WIDTH, _HEIGHT = 860.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 54.0, 56.0, 40.0, 34.0
_MAX_SETTINGS: Final = 6


def parallel_coordinates(
    trials: Sequence[SearchTrial], names: Sequence[str], labels: Mapping[str, str]
) -> Markup | None:
    """Every trial that reported an AUC as a line over its settings; None where there are fewer than two.

    Args:
        trials: All.
        names: Settings, the most important first; no more than six are drawn, the first one beside the AUC.
        labels: Their names on the axes.
    """
    reported = [trial for trial in ranked(trials) if trial.validation_auc is not None]
    reported = [trial for trial in reported if math.isfinite(trial.validation_auc or math.nan)]
    drawn = [name for name in reversed(names[:_MAX_SETTINGS]) if any(_has(trial, name) for trial in reported)]
    if len(reported) < 2 or not drawn:
        return None
    step = (_WIDTH - _LEFT - _RIGHT) / len(drawn)
    threads, uprights, heights = [], [], []
    for place, name in enumerate(drawn):
        having = [trial for trial in reported if _has(trial, name)]
        axis, numbers = setting_axis([trial.settings[name] for trial in having], labels[name])
        at = dict(zip((trial.number for trial in having), (_height(axis, number) for number in numbers), strict=True))
        heights.append(at)
        uprights.append(_upright(axis, _LEFT + step * place, is_last=False))
        if len(having) < len(reported):
            uprights.append(_words(_LEFT + step * place, _HEIGHT - 6, "not set", "tick middle"))
    aucs = [float(trial.validation_auc or 0.0) for trial in reported]
    auc_axis = nice_axis(aucs, "Validation AUC")
    heights.append({trial.number: _height(auc_axis, value) for trial, value in zip(reported, aucs, strict=True)})
    uprights.append(_upright(auc_axis, _LEFT + step * len(drawn), is_last=True))
    for trial in reversed(reported):
        points = [(_LEFT + step * place, at.get(trial.number, _HEIGHT - 18)) for place, at in enumerate(heights)]
        path = "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in points)
        kind = kind_of(trial, is_best=trial is reported[0])
        line = Markup('<path class="thread {}" d="{}"><title>{}</title></path>')
        threads.append(line.format(kind, path, describe(trial, names, labels)))
    return Markup('<svg class="parallel" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, "The trials' settings and validation AUC, a line a trial", Markup("").join(threads + uprights)
    )


def _has(trial: SearchTrial, name: str) -> bool:
    return trial.settings.get(name) is not None


def _height(axis: Axis, value: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - axis.part(value))


def _upright(axis: Axis, across: float, *, is_last: bool) -> Markup:
    """An axis, its ticks to the left, the last one's to the right."""
    line = Markup('<line class="stem" x1="{0:.1f}" x2="{0:.1f}" y1="{1:g}" y2="{2:g}"/>')
    parts = [line.format(across, _TOP, _HEIGHT - _BOTTOM)]
    where = "axis middle" if not is_last else "axis end"
    parts.append(_words(across if not is_last else _WIDTH, 16, axis.label, where))
    if axis.is_log:
        parts.append(_words(across, 31, "log scale", "tick middle"))
    for tick in axis.ticks:
        shift, style = (8, "tick") if is_last else (-8, "tick end")
        parts.append(_words(across + shift, _height(axis, tick) + 4, axis.write(tick), style))
    return Markup("").join(parts)


def _words(left: float, top: float, words: str, style: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(style, left, top, words)
