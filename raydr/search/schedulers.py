"""Which trials go on: Tune's schedulers, told what earlier attempts at the same search have seen."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from raydr.config.space import Choice, Domain, Integer, Uniform
from raydr.config.stages import SearchStage
from raydr.learning.validation import VALIDATION_AUC
from raydr.search.records import TrialRecord
from raydr.search.trial import EPOCHS_DONE


def build_scheduler(settings: SearchStage, past: Mapping[int, TrialRecord]) -> TrialScheduler:
    """The scheduler of the settings, with the epochs of earlier trials in its memory."""
    metric: dict[str, Any] = {"time_attr": EPOCHS_DONE, "metric": VALIDATION_AUC, "mode": "max"}
    match settings.scheduler:
        case "asha":
            asha = _Asha(
                **metric,
                max_t=settings.epochs,
                grace_period=settings.grace_epochs,
                reduction_factor=settings.reduction_factor,
            )
            return _informed(asha, past)
        case "median":
            return _informed(_Median(**metric, grace_period=settings.grace_epochs), past)
        case "pbt":
            return PopulationBasedTraining(
                **metric,
                perturbation_interval=settings.grace_epochs,
                hyperparam_mutations={"trial": {"sample": _mutations(settings.space)}},
                custom_explore_fn=_Within(settings.space),
                log_config=False,
            )
        case "none":
            return FIFOScheduler()  # type: ignore[no-untyped-call]


class _Memory(TrialScheduler):
    """A scheduler that is told a trial's recorded epochs when the trial comes back."""

    past: Mapping[int, TrialRecord]

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        """Take in the trial and what it has reported before; that it went on then is decided."""
        super().on_trial_add(tune_controller, trial)
        record = self.past.get(trial.config["trial"]["number"])
        for row in record.history if record else ():
            result = {**row, EPOCHS_DONE: int(row["epoch"]) + 1}
            super().on_trial_result(tune_controller, trial, result)


class _Asha(_Memory, ASHAScheduler):
    """Successive halving."""


class _Median(_Memory, MedianStoppingRule):
    """The median rule, which here never makes a trial wait for others to be compared with."""

    def on_trial_complete(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> None:
        """Nothing new: the last epoch was reported."""

    def _on_insufficient_samples(self, _controller: TuneController, _trial: Trial, _time: float) -> str:
        return str(TrialScheduler.CONTINUE)


@dataclass(frozen=True, eq=False, slots=True)
class _PastTrial:
    """All that a scheduler looks at in a trial that is done."""

    trial_id: str
    config: dict[str, Any]


def _informed(scheduler: _Asha | _Median, past: Mapping[int, TrialRecord]) -> TrialScheduler:
    scheduler.past = past
    for record in past.values():
        if record.status != "running":
            trial: Any = _PastTrial(f"past-{record.number}", {"trial": {"number": record.number}})
            scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]  # it is not looked at
    return scheduler


def _mutations(space: Mapping[str, Domain]) -> dict[str, Any]:
    """What PBT changes a value to: a neighbour of a choice; of a number 0.8 or 1.2 times it, now and then a new one."""
    found: dict[str, Any] = {}
    for key, domain in space.items():
        match domain:
            case Choice():
                found[key] = list(domain.values)
            case Uniform():
                found[key] = (tune.uniform if domain.kind == "uniform" else tune.loguniform)(domain.low, domain.high)
            case Integer():
                draw = tune.randint if domain.kind == "integer" else tune.lograndint
                found[key] = draw(domain.low, domain.high + 1)
    return found


class _Within:
    """Keeps what PBT changes within its bounds."""

    def __init__(self, space: Mapping[str, Domain]) -> None:
        self._space = dict(space)

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        """The configuration with every value of its sample inside its domain."""
        sample: Iterable[tuple[str, Any]] = config["trial"]["sample"].items()
        config["trial"]["sample"] = {key: self._space[key].clamped(value) for key, value in sample}
        return config
