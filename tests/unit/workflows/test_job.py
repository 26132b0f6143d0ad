"""The frame of every verb: what it says at its end of records that MLflow never took."""

from dataclasses import dataclass

import pytest

from raydr.config.jobs import CompareSettings
from raydr.errors import RunError
from raydr.tracking.runs import NoTracker
from raydr.workflows import job
from raydr.workflows.job import Outcome, Pipeline, perform


@dataclass(frozen=True, slots=True)
class _Deaf(NoTracker):
    """One of a store that has not taken so many records."""

    missed: int

    def close(self) -> int:
        return self.missed


@pytest.mark.parametrize(("missed", "said"), [(0, ""), (1, "1 record was"), (12, "12 records were")])
@pytest.mark.parametrize("fails", [False, True])
def test_a_job_says_how_many_records_were_never_taken_whether_it_failed_or_not(
    tmp_path, monkeypatch, capsys, missed, said, fails
):
    def body(stage):
        if fails:
            raise RunError("no")
        return Outcome({}, {})

    settings = CompareSettings(job="compare", first="a", second="b", out=str(tmp_path / "out"))
    monkeypatch.setattr(job, "open_tracking", lambda settings, out: _Deaf(missed))
    try:
        perform(settings, "compare", inputs={}, pipeline=None, body=body)
    except RunError:
        assert fails
    lines = [line for line in capsys.readouterr().out.splitlines() if "never taken" in line]
    where = "" if fails else f"; see {tmp_path}/out/result.json"
    assert lines == ([f"MLflow: {said} never taken{where}"] if missed else [])


def test_a_stage_of_a_run_leaves_that_to_the_run(tmp_path, capsys):
    settings = CompareSettings(job="compare", first="a", second="b", out=str(tmp_path / "out"))
    pipeline = Pipeline(lambda: (_Deaf(3), "run"))
    perform(settings, "compare", inputs={}, pipeline=pipeline, body=lambda _: Outcome({}, {}))
    assert "never taken" not in capsys.readouterr().out
