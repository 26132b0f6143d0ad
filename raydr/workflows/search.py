"""`raydr search`: students in parallel over the space, the best settings refitted at full length."""

import dataclasses

from raydr.build import check_losses
from raydr.config.jobs import SearchSettings
from raydr.config.override import with_overrides
from raydr.config.space import extremes
from raydr.engine.package import NUM_OUTPUTS
from raydr.errors import InputError
from raydr.workflows.cluster import connected
from raydr.workflows.console import say
from raydr.workflows.images import rows_of
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.learn import inputs_of, model_input
from raydr.workflows.result import StageResult
from raydr.workflows.rounds import distil_in_rounds
from raydr.workflows.teaching import read_teacher, teach, teacher_inputs
from raydr.workflows.trial_table import sample_text
from raydr.workflows.trials import run_trials, search_identity


def search(settings: SearchSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of the search; its artifact `model` is the refitted best student."""

    def body(stage: Stage) -> Outcome:
        teacher, head = read_teacher(settings.teacher)
        for _, overrides in extremes(settings.space):  # before anything starts, not in the first trial that draws it
            check_losses(with_overrides(settings.distill, overrides).distillation, NUM_OUTPUTS[head])
        rows = rows_of(settings.data)
        if not len(rows.validation):
            raise InputError(f"{settings.data.manifest}: split: no graded validation image to search by")
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
            trials = run_trials(stage, settings, rows=rows, teacher=teacher, taught=taught)
            best = trials[0]
            say(f"  best trial {best.number + 1}: validation AUC {best.best_auc:.4f}, {sample_text(best.sample)}")
            student = with_overrides(settings.distill, best.sample)
            refit = distil_in_rounds(
                stage, settings, student, data=settings.data, preprocess=teacher.preprocess, teacher=taught
            )
        metrics = {
            **refit.metrics,
            "best_trial": {"number": best.number, "val_auc": best.best_auc, "settings": best.sample},
            "num_trials": len(trials),
            "trial_epochs": sum(trial.epochs for trial in trials),
            "trials": [dataclasses.asdict(trial) for trial in sorted(trials, key=lambda trial: trial.number)],
        }
        return Outcome(metrics, refit.artifacts, {**refit.logged, "best_trial_val_auc": best.best_auc})

    weights = model_input(settings.distill.model.weights)
    inputs = inputs_of(settings.data, **teacher_inputs(settings.teacher), weights=weights)
    return perform(settings, "search", inputs=inputs, pipeline=pipeline, body=body)
