"""What the benchmark of a search makes of its contenders' courses."""

import json
import sys
from pathlib import Path

import pytest

JOBS = Path(__file__).parents[2] / "jobs"


@pytest.fixture(scope="module")
def bench():
    """The benchmark with three courses: the plain one falls short of the others by more than a standard error."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "path", [str(JOBS), *sys.path])
        import bench_search
        from search_contenders import Course

        known = {"teacher": 2.0, "refit": 5.0, "epochs_share": 40.0, "trial_overhead": 1.5}
        known |= {"teacher_as_epochs": 7.0, "standard_error": 0.02}
        found = bench_search.Bench(Path("unused"), {}, 2)
        found.courses = {
            "raydr": [Course(20.0, [(5.0, 0.70), (8.0, 0.79), (12.0, 0.80)], 10, known)],
            "separate": [Course(100.0, [(90.0, 0.79), (50.0, 0.785), (10.0, 0.7)], 25)],
            "tune_uncached": [Course(60.0, [(30.0, 0.77)], 10)],
        }
        yield bench_search, found


def test_a_course_reaches_an_auc_at_its_first_epoch_within_one_standard_error_of_the_best(bench, capsys):
    module, found = bench
    figures = found.figures()
    firsts = {name: figures[f"{name} first"].runs for name in module.NAMES}
    assert firsts == {"raydr": [8.0], "separate": [50.0], "tune_uncached": [60.0]}
    assert "tune_uncached reached 0.7700" in capsys.readouterr().err


def test_ratios_are_of_the_seconds_of_the_others_to_raydrs(bench, tmp_path, capsys):
    module, found = bench
    module.publish(found.figures(), module.RATIOS, file=tmp_path / "bench.json")
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["ratios"] == {
        "separate/raydr": 5.0,
        "tune_uncached/raydr": 3.0,
        "separate first/raydr first": 6.25,
        "tune_uncached first/raydr first": 7.5,
    }
    assert written["contenders"]["raydr epochs share"]["median"] == 40.0
    assert written["contenders"]["raydr trial overhead"] == {
        "unit": "s",
        "median": 1.5,
        "min": 1.5,
        "max": 1.5,
        "runs": [1.5],
    }
