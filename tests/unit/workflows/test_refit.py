"""The choice among refits."""

import dataclasses

import pytest

from raydr.workflows.refit import Refits, middle
from raydr.workflows.result import StageResult


def result(auc):
    metrics = {"val_auc": auc, "val_auc_se": 0.02, "best_epoch": 3, "epochs": 5}
    return StageResult("refit", "out", "", "", 1.5, "run", metrics, {"model": f"model-{auc}"}, {})


@pytest.mark.parametrize(
    ("values", "place"), [([0.7], 0), ([0.9, 0.7, 0.8], 2), ([0.9, 0.7], 1), ([0.9, 0.6, 0.8, 0.7], 3), ([0.8, 0.8], 0)]
)
def test_the_median_is_kept_and_the_lower_one_of_the_middle_two(values, place):
    assert middle(values) == place


def test_figures_tell_every_seed_the_mean_and_the_spread():
    found = Refits((4, 5, 6), (result(0.9), result(0.7), result(0.8)), kept=2).figures()
    assert [(row["seed"], row["val_auc"], row["kept"]) for row in found["refits"]] == [
        (4, 0.9, False),
        (5, 0.7, False),
        (6, 0.8, True),
    ]
    assert found["refit"]["val_auc_mean"] == pytest.approx(0.8)
    assert found["refit"]["val_auc_sd"] == pytest.approx(0.1)
    assert (found["refit"]["val_auc_min"], found["refit"]["val_auc_max"]) == (0.7, 0.9)


def test_a_single_refit_has_no_spread():
    refits = Refits((0,), (dataclasses.replace(result(0.8), seconds=2.0),), kept=0)
    assert refits.figures()["refit"]["val_auc_sd"] is None
    assert "refit_val_auc_sd" not in refits.logged()
    assert refits.logged()["refit_val_auc_mean"] == 0.8
