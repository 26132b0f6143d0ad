"""`raydr study`: what labels are worth to each way of learning, and the test sets opened once, at the end."""

import time

from raydr import storage
from raydr.config.jobs import StudySettings
from raydr.study.records import RECORD
from raydr.workflows.cluster import room
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.preflight import ready
from raydr.workflows.result import StageResult
from raydr.workflows.sources import source_of
from raydr.workflows.study_cells import train_cells
from raydr.workflows.study_ground import lay_ground
from raydr.workflows.study_outcome import conclude
from raydr.workflows.study_plan import CELLS, check_arms, plan_cells, weights_inputs
from raydr.workflows.study_tests import open_tests, openings, standing_figures, test_set


def study(settings: StudySettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of a study; its artifacts are `report`, `table`, `cells`, `manifest` and, if there is one, `openings`.

    Raises:
        RunError: Cells failed. All others are trained, and the report is of them; the test sets stay closed.
    """
    check_arms(settings)

    def body(stage: Stage) -> Outcome:
        clock, seconds = time.perf_counter(), dict[str, float]()

        def lap(part: str) -> None:
            nonlocal clock
            now = time.perf_counter()
            seconds[part], clock = round(now - clock, 2), now

        with ready(settings):
            machine = room()
            ground = lay_ground(stage, settings)
            # Better told now that there is no test set than after all trainings.
            tests = test_set(ground) if settings.test or (settings.only and openings(stage)) else None
            lap("images and pretraining")
            trained = train_cells(stage, settings, ground, plan_cells(stage, settings, ground))
            lap("cells")
            tested = {} if tests is None else standing_figures(trained.cells, tests)
            if tests is not None and settings.test and not trained.failures:
                tested |= open_tests(stage, settings, ground, trained.wanted, tests)
            lap("test sets")
        outcome = conclude(stage, settings, ground, trained, tested, machine=machine, seconds=seconds)
        trained.check()
        return outcome

    def find_fault(previous: StageResult) -> str | None:
        names = (str(name) for name in settings.cells)
        gone = [name for name in names if not storage.exists(storage.join(previous.out, CELLS, name, RECORD))]
        return f"cell {gone[0]} is gone" if gone else None

    sources = [source_of(name, source) for name, source in settings.index.sources.items()]
    inputs = {f"{source.name}.{key}": uri for source in sources for key, uri in source.layout.inputs().items()}
    return perform(
        settings,
        "study",
        inputs={**inputs, **weights_inputs(settings)},
        pipeline=pipeline,
        find_fault=find_fault,
        body=body,
    )
