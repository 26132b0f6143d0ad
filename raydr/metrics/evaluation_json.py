"""An evaluation as plain values for a file."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from raydr.metrics.evaluation import DatasetEvaluation

_LEFT_OUT = ("roc", "precision_recall", "histogram", "scores_by_grade", "scores_by_class")
"""A point a score; the scores have a file."""


def as_json(evaluation: DatasetEvaluation) -> dict[str, Any]:
    """The evaluation's fields as plain values, null where a figure is not defined; ``auc`` is as in result.json.

    Of the curves their bands on a grid are kept, under `roc` and `precision_recall`.
    """
    fields = {field.name: getattr(evaluation, field.name) for field in dataclasses.fields(evaluation)}
    kept = {name: value for name, value in fields.items() if name not in _LEFT_OUT}
    kept["operating_points"] = dict(kept.pop("points"))
    kept["predictive"] = dict(evaluation.predictive)
    kept["roc"], kept["precision_recall"] = kept.pop("band"), kept.pop("precision_recall_band")
    plain: dict[str, Any] = _plain(kept)
    return plain


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
