"""The report of `raydr evaluate`, filled with what it found."""

import datetime
from collections.abc import Sequence

import pyarrow as pa

from raydr.config.jobs import EvaluateSettings
from raydr.config.show import as_toml
from raydr.metrics.evaluation import DatasetEvaluation
from raydr.reporting.pictures import pictures_of
from raydr.reporting.report import CHOSEN_ON_VALIDATION, CHOSEN_WITH_THE_MODEL, Report
from raydr.tracking.store import without_credentials
from raydr.workflows.documents import software, title_of
from raydr.workflows.job import Stage
from raydr.workflows.scored import Scored


def evaluation_report(
    settings: EvaluateSettings,
    stage: Stage,
    scored: Scored,
    *,
    evaluations: Sequence[DatasetEvaluation],
    pictures: pa.Table | None,
) -> Report:
    """The report of an evaluation.

    Args:
        settings: The verb's.
        stage: Its frame.
        scored: What was evaluated.
        evaluations: Its figures, a data set each.
        pictures: The photographs to show; None where there are none, or none may be shown.
    """
    worst, highest = ((), ()) if pictures is None else pictures_of(pictures)
    return Report(
        title=title_of(settings, "evaluate"),
        created=datetime.datetime.now(datetime.UTC),
        models={"model": evaluations},
        data=scored.data,
        notes=scored.notes,
        thresholds_from=_thresholds_from(settings, scored, evaluations),
        settings=without_credentials(as_toml(settings)),
        environment=software(),
        digests={"settings": stage.settings_digest, **stage.inputs},
        worst_errors=worst,
        highest_scored=highest,
        about=scored.about,
    )


def _thresholds_from(settings: EvaluateSettings, scored: Scored, evaluations: Sequence[DatasetEvaluation]) -> str:
    if settings.operating_points:
        return "Thresholds were given in the settings."
    if scored.thresholds:
        return CHOSEN_WITH_THE_MODEL
    if any(found.points for found in evaluations):
        return CHOSEN_ON_VALIDATION
    return "There are no thresholds: none is given, and there are no validation images of both classes."
