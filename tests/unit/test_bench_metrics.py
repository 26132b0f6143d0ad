"""The benchmark of the metrics: it compares what is the same, and says so where it is not."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

JOBS = Path(__file__).parents[2] / "jobs"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(JOBS), *sys.path])
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)  # the other tests keep their cores
    import bench_metrics

    return bench_metrics


def test_it_writes_the_json_that_all_benchmarks_write(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench_metrics.py", "--quick", "--json", str(tmp_path / "figures.json")])
    bench.main()
    content = json.loads((tmp_path / "figures.json").read_text())
    assert set(content) == {"command", "machine", "date", "contenders", "ratios"}
    assert set(content["ratios"]) == {"sklearn auc/auc", "sklearn ap/average precision"}
    assert content["contenders"]["sklearn auc"]["unit"] == "ms for 200 resamples, scaled from 5"


def test_a_loop_that_computes_something_else_ends_the_run(bench):
    bench.check_equal([0.5, 0.7], np.array([0.5, 0.7 + 1e-12]))
    with pytest.raises(SystemExit, match=r"differ by 0\.1"):
        bench.check_equal([0.5, 0.7], np.array([0.5, 0.8]))
