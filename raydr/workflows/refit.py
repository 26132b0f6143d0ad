"""The best trial's settings at full length, once for each of a few seeds, and which of the models is kept."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raydr.config.jobs import DistillSettings, SearchSettings
from raydr.engine.package import copy_model
from raydr.learning.validation import STANDARD_ERROR, VALIDATION_AUC
from raydr.workflows.console import say
from raydr.workflows.job import Pipeline, Stage, perform
from raydr.workflows.learn import Lesson, learn
from raydr.workflows.result import StageResult


@dataclass(frozen=True, slots=True)
class Refits:
    """The refits by seed, and the place of the one whose model is kept."""

    seeds: tuple[int, ...]
    results: tuple[StageResult, ...]
    kept: int

    @property
    def winner(self) -> StageResult:
        """The one whose model is kept."""
        return self.results[self.kept]

    def figures(self) -> dict[str, Any]:
        """As result.json has them: `refits`, a row a seed, and `refit`, their mean and spread."""
        aucs = [_auc(result.metrics) for result in self.results]
        rows = [
            {
                "seed": seed,
                "val_auc": auc,
                "val_auc_se": result.metrics.get(STANDARD_ERROR),
                "best_epoch": result.metrics.get("best_epoch"),
                "epochs": result.metrics["epochs"],
                "seconds": result.seconds,
                "model": result.artifacts["model"],
                "mlflow_run_id": result.mlflow_run_id,
                "kept": place == self.kept,
            }
            for place, (seed, result, auc) in enumerate(zip(self.seeds, self.results, aucs, strict=True))
        ]
        spread = {
            "num_seeds": len(aucs),
            "val_auc_mean": statistics.fmean(aucs),
            "val_auc_sd": statistics.stdev(aucs) if len(aucs) > 1 else None,
            "val_auc_min": min(aucs),
            "val_auc_max": max(aucs),
            "kept": "median",
        }
        return {"refits": rows, "refit": spread}

    def logged(self) -> dict[str, float]:
        """The same for MLflow."""
        figures = self.figures()["refit"].items()
        return {f"refit_{name}": float(value) for name, value in figures if isinstance(value, int | float)}


def refit(stage: Stage, settings: SearchSettings, lesson: Lesson) -> Refits:
    """Train ``lesson`` with each seed, keep one model in the stage's `model`.

    Each refit is a `distill` in a folder of its own: one that is done is not done again, whatever came after it. The
    model with the median validation AUC is kept, not the best one's: the luckiest of several seeds has an AUC, and
    thresholds, that flatter it, and would be compared with a teacher that had one try. What is known of the median
    holds for a model of these settings.
    """
    seeds = tuple(settings.seed + number for number in range(settings.refit_seeds))
    results = []
    for number, seed in enumerate(seeds, start=1):
        if len(seeds) > 1:
            say(f"  refit {number} of {len(seeds)}, seed {seed}")
        results.append(_refit_once(stage, settings, lesson, seed))
    aucs = [_auc(result.metrics) for result in results]
    refits = Refits(seeds, tuple(results), middle(aucs))
    copy_model(refits.winner.artifacts["model"], stage.path("model"))
    if len(seeds) > 1:
        spread = refits.figures()["refit"]
        say(
            f"  refits: validation AUC {spread['val_auc_mean']:.4f} on average, standard deviation "
            f"{spread['val_auc_sd']:.4f}; the model of seed {seeds[refits.kept]}, the median, is kept"
        )
    return refits


def middle(values: Sequence[float]) -> int:
    """The place of the median, of the lower one of the middle two."""
    return sorted(range(len(values)), key=lambda place: values[place])[(len(values) - 1) // 2]


def _refit_once(stage: Stage, settings: SearchSettings, lesson: Lesson, seed: int) -> StageResult:
    job = DistillSettings(
        **{
            **lesson.section.model_dump(mode="json"),
            "job": "distill",
            "out": stage.path(f"refit-seed-{seed}"),
            "seed": seed,
            "data": settings.data.model_dump(mode="json"),
            "teacher": settings.teacher,
            "cluster": settings.cluster.model_dump(mode="json"),
            "tracking": settings.tracking.model_dump(mode="json"),
        }
    )
    return perform(
        job,
        "refit",
        inputs={},
        digests=stage.inputs,
        pipeline=Pipeline(lambda: (stage.tracker, stage.run_id)),
        body=lambda own: learn(own, job, lesson),
    )


def _auc(metrics: Mapping[str, Any]) -> float:
    value = metrics.get(VALIDATION_AUC)
    return float("-inf") if value is None else float(value)
