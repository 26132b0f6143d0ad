"""The search: Tune with ASHA over the distill settings, on the validation patients' AUC."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator

from raydr import storage
from raydr.config.stages import DistillStage, SearchStage
from raydr.errors import RunError
from raydr.learning.assignment import Assignment
from raydr.learning.distil import Teaching
from raydr.learning.validation import STANDARD_ERROR, VALIDATION_AUC
from raydr.search.ranking import best_first
from raydr.search.space import current_point, domains
from raydr.search.trial import TrialImages, run_trial

OnTrialEpoch = Callable[[int, Mapping[str, Any], Mapping[str, float]], None]
"""Trial number, its sampled settings, the epoch's metrics."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What came of one trial."""

    number: int
    sample: dict[str, Any]
    best_auc: float
    """Highest validation AUC of its epochs; NaN where it reported none."""
    standard_error: float
    """Of that AUC, patients being its unit."""
    epochs: int
    error: str | None

    @property
    def failed(self) -> bool:
        """Whether it ended in an error."""
        return self.error is not None


class _Watch(tune.Callback):
    """Keeps each trial's figures as they are reported, and passes them on to the driver's own function."""

    def __init__(self, on_epoch: OnTrialEpoch) -> None:
        self._on_epoch = on_epoch
        self._best: dict[str, tuple[float, float]] = {}
        self._epochs: dict[str, int] = {}

    def on_trial_result(
        self,
        iteration: int,  # noqa: ARG002  # Tune's signature
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,  # noqa: ARG002
    ) -> None:
        """Take in one epoch of one trial."""
        value = float(result.get(VALIDATION_AUC, math.nan))
        self._epochs[trial.trial_id] = int(result["epoch"]) + 1
        if math.isfinite(value):
            found = (value, float(result.get(STANDARD_ERROR, math.nan)))
            self._best[trial.trial_id] = max(found, self._best.get(trial.trial_id, found), key=lambda pair: pair[0])
        names = ("epoch", "loss", "seconds", VALIDATION_AUC, STANDARD_ERROR)
        metrics = {name: float(result[name]) for name in names if name in result}
        self._on_epoch(trials.index(trial), trial.config, metrics)

    def result(self, number: int, trial: Trial, error: Exception | None) -> TrialResult:
        """What came of one trial."""
        best_auc, standard_error = self._best.get(trial.trial_id, (math.nan, math.nan))
        return TrialResult(
            number=number,
            sample=dict(trial.config),
            best_auc=best_auc,
            standard_error=standard_error,
            epochs=self._epochs.get(trial.trial_id, 0),
            error=None if error is None else str(error).strip().splitlines()[-1],
        )


def search(
    settings: SearchStage,
    distill: DistillStage,
    images: TrialImages,
    teaching: Teaching,
    assignment: Assignment,
    *,
    folder: str,
    name: str,
    on_epoch: OnTrialEpoch,
) -> list[TrialResult]:
    """All trials, best first; the first one tried is the hand-set student, the others are drawn from the space.

    Raises:
        RunError: No trial reached a validation AUC.
    """
    shortened = distill.model_dump(mode="json")
    shortened["optim"]["epochs"] = settings.epochs
    trainable = tune.with_resources(
        tune.with_parameters(
            run_trial,
            settings=shortened,
            images=images,
            teaching=teaching,
            assignment=assignment,
            num_threads=max(1, int(settings.cpus_per_trial)),
        ),
        {"CPU": settings.cpus_per_trial, "GPU": settings.gpus_per_trial},
    )
    watch = _Watch(on_epoch)
    tuner = tune.Tuner(
        trainable,
        param_space=domains(settings.space),
        tune_config=tune.TuneConfig(
            metric=VALIDATION_AUC,
            mode="max",
            num_samples=settings.trials,
            max_concurrent_trials=settings.max_parallel,
            search_alg=BasicVariantGenerator(
                points_to_evaluate=[current_point(settings.space, distill)], random_state=assignment.seed
            ),
            scheduler=ASHAScheduler(
                time_attr="training_iteration",
                max_t=settings.epochs,
                grace_period=min(settings.grace_epochs, settings.epochs),
                reduction_factor=settings.reduction_factor,
            ),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=storage.absolute(folder),
            callbacks=[watch],
            failure_config=tune.FailureConfig(max_failures=1),
            verbose=0,
        ),
    )
    found = tuner.fit()
    trials = found._experiment_analysis.trials  # noqa: SLF001  # Tune's Result has no trial, and its files no NaN
    results = [watch.result(number, trial, found[number].error) for number, trial in enumerate(trials)]
    usable = [result for result in results if math.isfinite(result.best_auc)]
    if not usable:
        reason = next((result.error for result in results if result.error), "no trial reported one")
        raise RunError(f"search: none of {len(results)} trials reached a validation AUC: {reason}")
    return best_first(results)
