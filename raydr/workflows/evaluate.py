"""`raydr evaluate`: a model or anybody's scores on test sets, with intervals; thresholds from validation patients."""

import functools
import json
from collections.abc import Callable, Sequence

from raydr import storage
from raydr.config.jobs import EvaluateSettings
from raydr.config.stages import EvaluateStage
from raydr.metrics.evaluation import DatasetEvaluation
from raydr.metrics.evaluation_json import as_json
from raydr.workflows.console import say
from raydr.workflows.documents import write_documents
from raydr.workflows.evaluation_report import evaluation_report
from raydr.workflows.evaluation_table import evaluation_notes, evaluation_table
from raydr.workflows.file_scores import scores_of_files
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.result import StageResult
from raydr.workflows.scored import Scored
from raydr.workflows.scores import chosen_thresholds, evaluate_scores
from raydr.workflows.sections import section

_AUC_FIELDS = ("value", "low", "high", "level", "num_images", "num_patients", "num_positive")
_FILES = {"scores": "scores.parquet", "evaluation": "evaluation.json"}
_PICTURES = "pictures.parquet"


def evaluate(settings: EvaluateSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of an evaluation.

    Its artifacts are `scores`, `evaluation`, `report`, `model_card`, `checklist` and, of a model, `pictures`.
    """
    inputs, score = _source(settings)

    def body(stage: Stage) -> Outcome:
        scored = score()
        thresholds = dict(settings.operating_points or scored.thresholds or chosen_thresholds(scored.table))
        evaluations = evaluate_scores(scored.table, thresholds, section(EvaluateStage, settings), seed=settings.seed)
        notes = [*scored.notes, *evaluation_notes(evaluations)]
        say(evaluation_table(evaluations))
        for note in notes:
            say(f"  {note}")
        artifacts = {name: stage.path(file) for name, file in _FILES.items()}
        storage.write_table(artifacts["scores"], scored.table)
        figures = {found.name: as_json(found) for found in evaluations}
        storage.write_bytes(artifacts["evaluation"], json.dumps(figures, indent=2).encode())
        pictures = scored.show(thresholds) if scored.show and settings.pictures else None
        if pictures is not None:
            artifacts["pictures"] = stage.path(_PICTURES)
            storage.write_table(artifacts["pictures"], pictures)
        report = evaluation_report(settings, stage, scored, evaluations=evaluations, pictures=pictures)
        documents = write_documents(stage.path, report)
        artifacts |= documents
        stage.tracker.log_files(stage.run_id, [artifacts["evaluation"], *documents.values()])
        auc = {name: {key: found["auc"][key] for key in _AUC_FIELDS} for name, found in figures.items()}
        metrics = {
            "auc": auc,
            "kappa": {found.name: found.kappa.value for found in evaluations if found.kappa is not None},
            "average_precision": {found.name: found.average_precision.value for found in evaluations},
            "calibration_error": {found.name: found.calibration.error for found in evaluations},
            "operating_points": thresholds,
            "notes": notes,
        }
        return Outcome(metrics, artifacts, _logged(evaluations))

    return perform(settings, "evaluate", inputs=inputs, pipeline=pipeline, body=body)


def _source(settings: EvaluateSettings) -> tuple[dict[str, str], Callable[[], Scored]]:
    """What is read, by name, and what makes scored images of it."""
    if settings.scores is not None and settings.labels is not None:
        read = functools.partial(scores_of_files, settings.scores, settings.labels, settings.datasets)
        return {"scores": settings.scores, "labels": settings.labels}, read
    from raydr.workflows.model_scores import inputs_of, score_model  # Ray and torch, which scores alone do not need
    from raydr.workflows.models import model_folder

    if settings.model is None or settings.data is None:
        raise ValueError("neither a model with data nor scores with labels")
    folder = model_folder(settings.model, settings)
    return inputs_of(settings.data, folder), functools.partial(score_model, settings, settings.data, folder)


def _logged(evaluations: Sequence[DatasetEvaluation]) -> dict[str, float]:
    """The main figures for MLflow, each with its data set's name; those that are not defined are left out there."""
    figures: dict[str, float] = {}
    for found in evaluations:
        named = {
            "auc_value": found.auc.value,
            "auc_low": found.auc.low,
            "auc_high": found.auc.high,
            "average_precision": found.average_precision.value,
            "calibration_error": found.calibration.error,
            "brier": found.calibration.brier,
            **({} if found.kappa is None else {"quadratic_kappa": found.kappa.value}),
        }
        for name, point in found.points:
            if name == found.main_point:
                named |= {"sensitivity": point.sensitivity.value, "specificity": point.specificity.value}
        figures |= {f"{name}.{found.name}": value for name, value in named.items()}
    return figures
