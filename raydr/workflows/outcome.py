"""The end of a search: what its trials and refits say, in words, in figures, in MLflow and on a page."""

import dataclasses
import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

from raydr import storage
from raydr.config.jobs import SearchSettings
from raydr.config.show import as_toml
from raydr.data.manifest import summary
from raydr.learning.validation import STANDARD_ERROR, VALIDATION_AUC
from raydr.reporting.search_report import Refit, SearchReport, Trial, write_search_report
from raydr.search.ranking import not_told_apart
from raydr.search.tuner import TrialResult
from raydr.tracking.registry import CHALLENGER, set_alias
from raydr.tracking.store import without_credentials
from raydr.workflows.console import say
from raydr.workflows.images import Rows
from raydr.workflows.job import Outcome, Stage
from raydr.workflows.refit import Refits
from raydr.workflows.registry import made_by, register
from raydr.workflows.trial_table import sample_text

REPORT = "report.html"


def say_best(trials: Sequence[TrialResult], *, num_patients: int) -> None:
    """Say which trial is the best, how sure that is, and which others it is not told apart from.

    Args:
        trials: The best first.
        num_patients: Validation patients.
    """
    best = trials[0]
    error = f"{best.standard_error:.4f}" if math.isfinite(best.standard_error) else "not defined"
    say(
        f"  best trial {best.number + 1}: validation AUC {best.best_auc:.4f}, standard error {error} "
        f"({num_patients} patients), {sample_text(best.sample)}"
    )
    others = sorted(not_told_apart(trials) - {best.number})
    if others:
        names = ", ".join(str(number + 1) for number in others)
        say(
            f"  within one standard error of it, so not told apart: {len(others)} of {len(trials) - 1} others ({names})"
        )


def conclude(
    stage: Stage,
    settings: SearchSettings,
    rows: Rows,
    trials: Sequence[TrialResult],
    refits: Refits,
    *,
    num_patients: int,
    seconds: Mapping[str, float],
    alone: bool,
) -> Outcome:
    """Gather the figures, write the report and, where the search is ``alone``, register the model.

    In a run that is done at its end, when the model has been tested.
    """
    best, close = trials[0], not_told_apart(trials)
    kept = refits.winner.metrics
    metrics: dict[str, Any] = {
        **kept,
        **refits.figures(),
        "best_trial": {
            "number": best.number,
            "val_auc": best.best_auc,
            "val_auc_se": best.standard_error,
            "settings": best.sample,
        },
        "num_trials": len(trials),
        "num_not_told_apart": len(close),
        "num_validation_patients": num_patients,
        "trial_epochs": sum(trial.epochs for trial in trials),
        "trials": [
            {**dataclasses.asdict(trial), "not_told_apart": trial.number in close}
            for trial in sorted(trials, key=lambda trial: trial.number)
        ],
        "seconds": dict(seconds),
    }
    artifacts = {"model": stage.path("model"), "report": stage.path(REPORT)}
    write_search_report(artifacts["report"], _report(settings, stage, rows, metrics))
    stage.tracker.log_files(stage.run_id, [artifacts["report"]])
    if alone:
        metrics |= _registered(stage, settings, kept, artifacts["model"])
    errors = {"best_val_auc_se": kept.get(STANDARD_ERROR), "best_trial_val_auc_se": best.standard_error}
    logged = {
        "best_val_auc": kept.get(VALIDATION_AUC),
        "best_trial_val_auc": best.best_auc,
        "num_not_told_apart": float(len(close)),
        **errors,
        **refits.logged(),
    }
    return Outcome(metrics, artifacts, {name: value for name, value in logged.items() if value is not None})


def _registered(stage: Stage, settings: SearchSettings, kept: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A new version of the registered model, the challenger: it has not been tested, so it becomes no champion."""
    name = settings.tracking.registered_model
    tags = made_by(kept, settings_digest=stage.settings_digest, num_labels=kept["num_labelled"])
    logged = register(stage.tracker, stage.run_id, folder=model, name=name, role="student", tags=tags)
    if name is not None and logged.version is not None:
        set_alias(stage.tracker, name, CHALLENGER, logged.version)
        say(f"  {name} version {logged.version} is the student: alias {CHALLENGER}")
    return {"student_model": logged.uri}


def report_trials(metrics: Mapping[str, Any], *, epochs: int) -> list[Trial]:
    """A search's trials as its readers see them.

    Args:
        metrics: Of the search's result.
        epochs: Those of a whole trial.
    """
    return [
        Trial(
            number=trial["number"] + 1,
            settings=trial["sample"],
            validation_auc=trial["best_auc"],
            num_epochs=trial["epochs"],
            status="failed" if trial["error"] else "finished" if trial["epochs"] == epochs else "stopped",
            standard_error=trial["standard_error"],
            not_told_apart=trial["not_told_apart"],
        )
        for trial in metrics["trials"]
    ]


def report_refits(metrics: Mapping[str, Any]) -> list[Refit]:
    """A search's refits as its readers see them."""
    return [
        Refit(
            seed=found["seed"],
            validation_auc=found["val_auc"],
            standard_error=found["val_auc_se"],
            best_epoch=found["best_epoch"],
            num_epochs=found["epochs"],
            is_kept=found["kept"],
        )
        for found in metrics["refits"]
    ]


def _report(settings: SearchSettings, stage: Stage, rows: Rows, metrics: Mapping[str, Any]) -> SearchReport:
    learned = summary(rows.manifest)
    return SearchReport(
        title=f"raydr search: {storage.absolute(settings.out).rstrip('/').rsplit('/', 1)[-1]}",
        created=datetime.datetime.now(datetime.UTC),
        trials=report_trials(metrics, epochs=settings.epochs),
        refits=report_refits(metrics),
        num_patients=metrics["num_validation_patients"],
        num_images=len(rows.validation),
        full_grid_epochs=settings.epochs * len(metrics["trials"]),
        seconds=metrics["seconds"],
        curve=metrics["history"],
        data=[row for row in learned if row["split"] in ("train", "val")],
        settings=without_credentials(as_toml(settings)),
        digests={"settings": stage.settings_digest, **stage.inputs},
    )
