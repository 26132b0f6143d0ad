"""A stage's line on a run's last screen."""

import pytest

from raydr.workflows.result import StageResult
from raydr.workflows.summary import main_figure


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"val_auc": 0.75944, "val_auc_se": 0.0312}, "student AUC 0.759 ± 0.031 (validation), best of 4 trials"),
        ({"val_auc": 0.75944, "val_auc_se": None}, "student AUC 0.759 (validation), best of 4 trials"),
        ({"val_auc": None}, "student AUC not defined (validation), best of 4 trials"),
    ],
)
def test_a_validation_auc_comes_with_its_standard_error_where_it_has_one(metrics, words):
    found = StageResult("search", "out", "", "", 1.0, "", {**metrics, "num_trials": 4}, {}, {})
    assert main_figure(found) == words
