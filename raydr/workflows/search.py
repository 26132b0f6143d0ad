"""`raydr search`: students in parallel over the space, the best settings refitted at full length."""

import itertools
import time

from raydr.build import check_losses
from raydr.config.jobs import SearchSettings
from raydr.config.override import with_overrides
from raydr.config.space import extremes
from raydr.engine.package import NUM_OUTPUTS
from raydr.errors import InputError
from raydr.workflows.cluster import connected
from raydr.workflows.images import rows_of, validation_patients
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.learn import inputs_of, model_input
from raydr.workflows.outcome import conclude, say_best
from raydr.workflows.refit import refit
from raydr.workflows.result import StageResult
from raydr.workflows.teaching import read_teacher, teach, teacher_inputs
from raydr.workflows.trials import run_trials, search_identity


def search(settings: SearchSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of the search; its artifact `model` is the refitted best student, `report` its page."""

    def body(stage: Stage) -> Outcome:
        teacher, head = read_teacher(settings.teacher)
        for _, overrides in extremes(settings.space):  # before anything starts, not in the first trial that draws it
            check_losses(with_overrides(settings.distill, overrides).distillation, NUM_OUTPUTS[head])
        rows = rows_of(settings.data)
        if not len(rows.validation):
            raise InputError(f"{settings.data.manifest}: split: no graded validation image to search by")
        clock = [time.perf_counter()]
        with connected(settings.cluster):
            taught = teach(
                stage.path(f"teacher-{search_identity(stage, settings)[:12]}.parquet"),
                teacher=settings.teacher,
                head=head,
                rows=rows,
                data=settings.data,
                num_views=settings.distill.distillation.teacher_views,
                cluster=settings.cluster,
            )
            clock.append(time.perf_counter())
            trials = run_trials(stage, settings, rows=rows, teacher=teacher, taught=taught)
            clock.append(time.perf_counter())
            say_best(trials, num_patients=len(set(validation_patients(rows).values())))
            student = with_overrides(settings.distill, trials[0].sample)
            refits = refit(stage, settings, student, preprocess=teacher.preprocess, teacher=taught)
            clock.append(time.perf_counter())
        parts = zip(("teacher", "trials", "refits"), itertools.pairwise(clock), strict=True)
        seconds = {name: round(end - start, 2) for name, (start, end) in parts}
        return conclude(stage, settings, rows, trials, refits, seconds=seconds, alone=pipeline is None)

    weights = model_input(settings.distill.model.weights)
    inputs = inputs_of(settings.data, **teacher_inputs(settings.teacher), weights=weights)
    return perform(settings, "search", inputs=inputs, pipeline=pipeline, body=body)
