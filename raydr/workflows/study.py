"""`raydr study`: what labels are worth to each way of learning, and the test sets opened once, at the end."""

from raydr.config.jobs import StudySettings
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.preflight import ready
from raydr.workflows.result import StageResult
from raydr.workflows.sources import source_of
from raydr.workflows.study_cells import train_cells
from raydr.workflows.study_outcome import conclude
from raydr.workflows.study_plan import check_arms, lay_ground, plan_cells, weights_inputs
from raydr.workflows.study_tests import open_tests


def study(settings: StudySettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of a study; its artifacts are `report`, `table`, `cells`, `manifest` and `openings`."""

    def body(stage: Stage) -> Outcome:
        check_arms(settings)
        with ready(settings):
            ground = lay_ground(stage, settings)
            cells = plan_cells(stage, settings, ground)
            records = train_cells(stage, settings, ground, cells)
            tested = open_tests(stage, settings, ground, cells) if settings.test else None
        return conclude(stage, settings, ground, cells, records, tested)

    sources = [source_of(name, source) for name, source in settings.index.sources.items()]
    inputs = {f"{source.name}.{key}": uri for source in sources for key, uri in source.layout.inputs().items()}
    return perform(settings, "study", inputs={**inputs, **weights_inputs(settings)}, pipeline=pipeline, body=body)
