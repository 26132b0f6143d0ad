"""The importance of a setting: what it explains, what chance explains, and where nothing can be told."""

import numpy as np
import pytest
from scipy.stats import rankdata

from raydr.metrics.importance import importance


def test_is_the_adjusted_share_of_a_parabola_in_ranks():
    draw = np.random.default_rng(2)
    values, aucs = np.round(draw.random(15), 1), draw.random(15)
    place, target = rankdata(values), rankdata(aucs)
    residual = target - np.polyval(np.polyfit(place, target, 2), place)
    explained = 1 - (residual**2).sum() / ((target - target.mean()) ** 2).sum()
    assert importance(values.tolist(), aucs).share == pytest.approx(1 - (1 - explained) * 14 / 12)


def test_of_a_choice_is_the_adjusted_share_between_groups():
    draw = np.random.default_rng(3)
    values, aucs = [("weak", "strong", "paper")[number % 3] for number in range(14)], draw.random(14)
    target = rankdata(aucs)
    means = {kind: target[[value == kind for value in values]].mean() for kind in set(values)}
    between = sum((means[value] - target.mean()) ** 2 for value in values)
    explained = between / ((target - target.mean()) ** 2).sum()
    assert importance(values, aucs).share == pytest.approx(1 - (1 - explained) * 13 / 11)


def test_a_best_value_in_the_middle_counts():
    values = np.linspace(0, 1, 16)
    found = importance(values.tolist(), -((values - 0.5) ** 2))
    assert found.share > 0.9
    assert found.is_above_chance


def test_is_the_same_for_any_rising_scale_of_setting_and_figure():
    draw = np.random.default_rng(4)
    values, aucs = draw.random(16), draw.random(16)
    assert importance((10**values).tolist(), np.exp(aucs)) == importance(values.tolist(), aucs)


def test_one_in_twenty_settings_without_effect_is_above_chance():
    draw = np.random.default_rng(5)
    hits = [importance(draw.random(16).tolist(), draw.random(16), seed=seed).is_above_chance for seed in range(600)]
    assert 0.025 < np.mean(hits) < 0.08


def test_trials_that_have_not_got_the_setting_are_left_out():
    draw = np.random.default_rng(6)
    values, aucs = draw.random(12).tolist(), draw.random(12)
    assert importance([*values, None, None], np.append(aucs, [9.0, 9.0])) == importance(values, aucs)


@pytest.mark.parametrize(
    ("values", "aucs"),
    [([1, 2], [0.1, 0.2]), ([1, 1, 1, 1, 1], [1, 2, 3, 4, 5]), ([1, 2, 3, 4, 5], [7] * 5), ([None] * 5, [1] * 5)],
)
def test_where_nothing_can_be_told_there_is_none(values, aucs):
    assert importance(values, np.array(aucs, dtype=float)) is None
