"""Which trial is the best and which ones are not told apart from it."""

import math
from dataclasses import dataclass

from raydr.search.ranking import best_first, not_told_apart


@dataclass
class Trial:
    number: int
    best_auc: float
    standard_error: float = 0.02


def test_the_best_comes_first_and_trials_without_an_auc_last():
    trials = [Trial(0, 0.7), Trial(1, math.nan), Trial(2, 0.9), Trial(3, 0.9)]
    assert [trial.number for trial in best_first(trials)] == [2, 3, 0, 1]


def test_trials_within_one_standard_error_of_the_best_are_not_told_apart():
    trials = [Trial(0, 0.90), Trial(1, 0.881), Trial(2, 0.879), Trial(3, math.nan)]
    assert not_told_apart(trials) == {0, 1}


def test_the_error_is_the_best_ones():
    trials = [Trial(0, 0.90, 0.01), Trial(1, 0.88, 0.5)]
    assert not_told_apart(trials) == {0}


def test_without_an_error_only_its_equals_are_as_good_as_the_best():
    trials = [Trial(0, 0.9, math.nan), Trial(1, 0.899, math.nan), Trial(2, 0.9, math.nan)]
    assert not_told_apart(trials) == {0, 2}
