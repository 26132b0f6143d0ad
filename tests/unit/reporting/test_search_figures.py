"""What the report says about the search."""

import re

import numpy as np
import pytest

from raydr.metrics.importance import Importance
from raydr.reporting import search_figures
from raydr.reporting.parallel_figure import parallel_coordinates
from raydr.reporting.report import Trial


def trials(settings, aucs):
    return [
        Trial(number, values, auc, 3, "completed")
        for number, (values, auc) in enumerate(zip(settings, aucs, strict=True))
    ]


def test_trials_are_ranked_by_validation_auc_and_silent_ones_come_last():
    found = search_figures.ranked(trials([{}, {}, {}, {}], [0.7, None, 0.9, float("nan")]))
    assert [trial.number for trial in found] == [2, 0, 1, 3]


def test_the_setting_that_moves_the_auc_comes_before_the_one_that_does_not():
    generator = np.random.default_rng(1)
    rates, weights = 10 ** generator.uniform(-4, -2, 20), generator.random(20)
    settings = [{"a.rate": rate, "a.weight": weight, "seed": 0} for rate, weight in zip(rates, weights, strict=True)]
    assert list(search_figures.importances(trials(settings, rates**0.1))) == ["a.rate", "a.weight"]


def test_a_choice_can_be_the_strongest_setting():
    settings = [{"kind": "weak" if place % 2 else "strong", "rate": place} for place in range(10)]
    aucs = [0.7 + 0.1 * (place % 2) + 0.001 * place for place in range(10)]
    assert next(iter(search_figures.importances(trials(settings, aucs)))) == "kind"


def test_too_few_trials_have_no_important_setting():
    assert search_figures.importances(trials([{"rate": 1}, {"rate": 2}], [0.7, 0.8])) == {}
    assert search_figures.importances(trials([{"rate": place} for place in range(5)], [0.7] * 5)) == {}


def test_trials_without_an_auc_tell_nothing_of_importance():
    settings = [{"rate": place / 7} for place in range(8)]
    aucs = [0.7 + 0.01 * place for place in range(8)]
    silent = trials([*settings, {"rate": 99.0}], [*aucs, None])
    assert search_figures.importances(silent) == search_figures.importances(trials(settings, aucs))


def test_the_bar_of_a_setting_without_effect_is_pale():
    found = {"a": Importance(0.6, 0.3), "b": Importance(0.2, 0.3), "c": Importance(-0.1, 0.3)}
    drawn = search_figures.importance_bars(found, {name: name for name in found})
    assert re.findall(r'class="share (\w+)".*?width="([\d.]+)"', drawn) == [
        ("sure", "132.0"),
        ("unsure", "44.0"),
        ("unsure", "1.0"),
    ]
    assert re.findall(r'class="limit" x1="([\d.]+)"', drawn) == ["194.0"] * 3


def test_the_band_of_a_slice_is_one_standard_error_below_the_best():
    found = [
        Trial(place, {"rate": float(place)}, auc, 3, "finished", 0.05, auc >= 0.85)
        for place, auc in enumerate([0.7, 0.8, 0.86, 0.9])
    ]
    drawn = search_figures.trial_scatter(found, "rate", "rate")
    (band,) = re.findall(r'class="tie" d="([^"]+)"', drawn)
    heights = sorted({float(pair.split()[1]) for pair in re.findall(r"[\d.]+ [\d.]+", band)})
    found_at = re.findall(r'class="trial (\w+) \w+" cx="[\d.]+" cy="([\d.]+)"', drawn)
    lowest = {kind: min(float(top) for each, top in found_at if each == kind) for kind in ("best", "close", "other")}
    assert heights[0] == pytest.approx(lowest["best"], abs=0.1)
    assert heights[0] < lowest["close"] < heights[1] < lowest["other"]
    assert len(re.findall('class="trial other', drawn)) == 2


def test_a_line_of_the_parallel_figure_passes_its_trials_values():
    found = [
        Trial(
            place, {"rate": float(place), **({"sharp": 0.5 + place} if place else {})}, 0.7 + place / 10, 3, "finished"
        )
        for place in range(3)
    ]
    drawn = parallel_coordinates(found, ["rate", "sharp"], {"rate": "rate", "sharp": "sharp"})
    paths = re.findall(r'class="thread (\w+)" d="M([^"]+)"', drawn)
    assert [kind for kind, _ in paths] == ["other", "other", "best"]
    heights = [[float(pair.split()[1]) for pair in path.split("L")] for _, path in paths]
    assert [len(line) for line in heights] == [3, 3, 3]
    assert heights[0][1] > heights[1][1] > heights[2][1]  # rate rises
    assert heights[0][0] > heights[1][0]  # not set: below the axis
    assert "not set" in drawn


def test_one_trial_has_no_parallel_figure():
    assert parallel_coordinates(trials([{"rate": 1.0}, {"rate": 2.0}], [0.7, None]), ["rate"], {"rate": "rate"}) is None


def test_names_are_as_short_as_they_are_unambiguous():
    settings = [
        {"loss.weight": 1, "decay.weight": 1, "optimizer.rate": 1, "seed": 0},
        {"loss.weight": 2, "decay.weight": 2, "optimizer.rate": 2, "seed": 0},
    ]
    assert search_figures.short_names(trials(settings, [0.7, 0.8])) == {
        "decay.weight": "decay.weight",
        "loss.weight": "loss.weight",
        "optimizer.rate": "rate",
    }


def test_losses_share_a_picture_and_metrics_that_never_came_have_none():
    epochs = [
        {
            "epoch": 1,
            "train_loss": 1.0,
            "val/loss": 2.0,
            "val_auc": 0.5,
            "kappa": float("nan"),
            "lr": None,
            "seconds": 9.0,
        }
    ]
    assert search_figures.curve_groups(epochs) == {"loss": ["train_loss", "val/loss"], "auc": ["val_auc"]}


@pytest.mark.parametrize("values", [[1e-4, 1e-3, 1e-2], [1, 2, 3], ["weak", "strong", "weak"], [True, False, True]])
def test_every_kind_of_setting_can_be_drawn(values):
    drawn = search_figures.trial_scatter(trials([{"it": value} for value in values], [0.7, 0.8, 0.9]), "it", "it")
    assert drawn.count("<circle") == 3
    assert ("log scale" in drawn) == (values[0] == 1e-4)
    assert "nan" not in drawn
