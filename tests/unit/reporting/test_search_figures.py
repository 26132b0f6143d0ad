"""What the report says about the search."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from raydr.reporting import search_figures
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
    assert search_figures.strongest_settings(trials(settings, rates**0.1)) == ["a.rate", "a.weight"]


def test_a_choice_can_be_the_strongest_setting():
    settings = [{"kind": "weak" if place % 2 else "strong", "rate": place} for place in range(10)]
    aucs = [0.7 + 0.1 * (place % 2) + 0.001 * place for place in range(10)]
    assert search_figures.strongest_settings(trials(settings, aucs))[0] == "kind"


def test_too_few_trials_have_no_strongest_setting():
    assert search_figures.strongest_settings(trials([{"rate": 1}, {"rate": 2}], [0.7, 0.8])) == []
    assert search_figures.strongest_settings(trials([{"rate": place} for place in range(5)], [0.7] * 5)) == []


def test_strength_is_the_adjusted_squared_rank_correlation():
    generator = np.random.default_rng(2)
    values, aucs = np.round(generator.random(15), 1), generator.random(15)
    expected = 1 - (1 - spearmanr(values, aucs).statistic ** 2) * 14 / 13
    assert search_figures._strength(values.tolist(), aucs) == pytest.approx(expected)
    np.testing.assert_allclose(search_figures._ranks(values) + 1, rankdata(values))


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
