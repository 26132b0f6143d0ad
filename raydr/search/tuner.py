"""The search: Tune over the distill settings, on the validation patients' AUC."""

import contextlib
import math
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.execution import class_cache
from ray.tune.search.basic_variant import BasicVariantGenerator

from raydr import storage
from raydr.config.stages import DistillStage, SearchStage
from raydr.errors import RunError
from raydr.learning.assignment import Assignment
from raydr.learning.distil import Teaching
from raydr.search.nested import Farewell, NestedTrial, SharedImages
from raydr.search.ranking import best_first
from raydr.search.records import TrialRecord, TrialRecords
from raydr.search.sampling import Proposals, drawn_sample, planned, resumed
from raydr.search.schedulers import build_scheduler
from raydr.search.trial import TrialImages, folder_prefix, run_trial
from raydr.search.watch import Audience, Watch
from raydr.training.gauges import SEARCH_GAUGES, Gauges


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What came of one trial."""

    number: int
    sample: dict[str, Any]
    best_auc: float
    """Validation AUC of its best epoch, of its last one where `distill.keep` is "last"; NaN where it reported none."""
    standard_error: float
    """Of that AUC, patients being its unit."""
    epochs: int
    error: str | None

    @property
    def failed(self) -> bool:
        """Whether it ended in an error."""
        return self.error is not None


@dataclass(frozen=True, slots=True)
class SearchFolders:
    """Where a search keeps what it goes on from."""

    records: str
    """Of all trials; stays when the search is done, for one with more trials to go on from."""
    ray: str
    """Of Ray's runs and the states of trials under way."""
    name: str
    """Of this search below ``ray``; another one's states are not gone on from."""

    @property
    def states(self) -> str:
        """The folder with a folder for each attempt at a trial."""
        return storage.join(self.ray, self.name)


@dataclass(frozen=True, slots=True)
class Shared:
    """What trials of one worker share in the object store."""

    images: TrialImages
    teaching: Teaching


def search(
    settings: SearchStage,
    distill: DistillStage,
    shared: Shared | SharedImages,
    assignment: Assignment,
    *,
    folders: SearchFolders,
    max_failures: int,
    audience: Audience,
) -> list[TrialResult]:
    """All trials, best first; the first one tried is the hand-set student, the others are drawn from the space.

    A search that was cut off goes on: trials that are done are not tried again, one under way goes on from its last
    epoch. Tune's own restoring is not used: it forgets up to ten seconds, forgets what the scheduler has seen, and
    takes no more trials than it was started with.

    Args:
        settings: Of the search.
        distill: What all students have in common.
        shared: Their images and the teacher's outputs, as trials of one worker or of several take them.
        assignment: Its digest is the search's, so that a trial may go on from another's state.
        folders: Where records and states are kept.
        max_failures: How often a trial that crashed is tried again, from its last epoch, before it counts as failed.
        audience: Told of every epoch and end.

    Raises:
        RunError: No trial reached a validation AUC.
    """
    records = TrialRecords(folders.records)
    past = {number: record for number, record in records.read().items() if number < settings.trials}
    if not any(math.isfinite(record.best_auc) for record in past.values()):  # what failed them all may be put right
        past = {number: record for number, record in past.items() if record.status != "failed"}
    audience.begin(past)
    gauges = Gauges(SEARCH_GAUGES, folders.name)
    states = folders.states if _is_dropped(settings) else None
    watch = Watch(records, past, audience, gauges, states=states, keep=distill.keep)
    if sum(record.status != "running" for record in past.values()) < settings.trials:
        shortened = distill.model_dump(mode="json")
        shortened["optim"]["epochs"] = settings.epochs
        trainable = _trainable(settings, shortened, shared, assignment, folder=folders.states)
        _fit(trainable, settings, distill, watch, folders=folders, max_failures=max_failures, seed=assignment.seed)
    return _ranked([_result(record) for _, record in sorted(watch.records.items())])


def _trainable(
    settings: SearchStage,
    distill: dict[str, Any],
    shared: Shared | SharedImages,
    assignment: Assignment,
    *,
    folder: str,
) -> Any:
    """One trial as Tune starts it, with what it takes of the cluster."""
    common = {"settings": distill, "assignment": assignment, "folder": folder}
    if isinstance(shared, SharedImages):
        # The workers take what they need themselves; Tune wants something for the process that waits for them.
        return tune.with_resources(tune.with_parameters(NestedTrial, **common, shared=shared), {"memory": 2**20})
    trainable = tune.with_parameters(
        run_trial,
        **common,
        images=shared.images,
        teaching=shared.teaching,
        num_threads=max(1, int(settings.cpus_per_trial)),
    )
    return tune.with_resources(trainable, {"CPU": settings.cpus_per_trial, "GPU": settings.gpus_per_trial})


def _fit(
    trainable: Any,
    settings: SearchStage,
    distill: DistillStage,
    watch: Watch,
    *,
    folders: SearchFolders,
    max_failures: int,
    seed: int,
) -> None:
    """Run the trials that are not done."""
    past = watch.records
    waiting = [record for record in past.values() if record.status == "running"]
    fresh = [number for number in range(settings.trials) if number not in past]
    is_random = settings.algorithm == "random"
    param_space: dict[str, Any] = {}
    if is_random:
        drawn = [planned(number, drawn_sample(settings.space, distill, seed=seed, number=number)) for number in fresh]
        plans = [resumed(record) for record in waiting] + drawn
        param_space = {"trial": tune.grid_search([plan["trial"] for plan in plans])}
        algorithm: Any = BasicVariantGenerator(max_concurrent=settings.max_parallel or 0)
    else:
        algorithm = Proposals(
            settings.space,
            distill,
            past=[record for record in past.values() if record.status != "running"],
            waiting=waiting,
            numbers=fresh,
            value_of=watch.value_of,
            seed=seed + len(past),
        )
    attempt = uuid.uuid4().hex[:8]
    tuner = tune.Tuner(
        trainable,
        param_space=param_space,
        tune_config=tune.TuneConfig(
            num_samples=1 if is_random else len(waiting) + len(fresh),
            max_concurrent_trials=None if is_random else settings.max_parallel,
            search_alg=algorithm,
            scheduler=build_scheduler(settings, dict(past)),
            reuse_actors=settings.workers_per_trial == 1,
            trial_dirname_creator=lambda trial: folder_prefix(trial.config["trial"]["number"]) + attempt,
        ),
        run_config=tune.RunConfig(
            name=folders.name,
            storage_path=storage.absolute(folders.ray),
            callbacks=[watch] if settings.workers_per_trial == 1 else [watch, Farewell(folders.states)],
            failure_config=tune.FailureConfig(max_failures=max_failures),
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=4 if settings.scheduler == "pbt" else 2, checkpoint_at_end=False
            ),
            verbose=0,
        ),
    )
    with _own_signals(), credentials_stay():
        tuner.fit()


@contextlib.contextmanager
def credentials_stay() -> Iterator[None]:
    """Keep Tune from sending an object store's keys along with every trial: Ray writes them into a log on its node.

    A trial has them from its node, as every other task.
    """
    before = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in before if not name.startswith("AWS_")}
    try:
        yield
    finally:
        class_cache.ENV_VARS_TO_PROPAGATE = before


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep Ctrl-C for raydr: Tune would end the search early and call it done."""
    name, before = "TUNE_DISABLE_SIGINT_HANDLER", os.environ.get("TUNE_DISABLE_SIGINT_HANDLER")
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.update({name: before})


def _is_dropped(settings: SearchStage) -> bool:
    """Whether the driver deletes a trial's states: PBT's others may read them, trials of several workers do it."""
    return settings.scheduler != "pbt" and settings.workers_per_trial == 1


def _result(record: TrialRecord) -> TrialResult:
    return TrialResult(
        number=record.number,
        sample=record.sample,
        best_auc=record.best_auc,
        standard_error=record.standard_error,
        epochs=len(record.history),
        error=record.error,
    )


def _ranked(results: list[TrialResult]) -> list[TrialResult]:
    if not any(math.isfinite(result.best_auc) for result in results):
        reason = next((result.error for result in results if result.error), "no trial reported one")
        raise RunError(f"search: none of {len(results)} trials reached a validation AUC: {reason}")
    return best_first(results)
