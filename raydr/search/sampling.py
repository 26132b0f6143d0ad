"""Where a trial's settings come from: drawn by its number alone, or proposed by Optuna from the trials before."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import optuna
from pydantic import BaseModel
from ray.tune.search import Searcher

from raydr.config.override import with_overrides
from raydr.config.space import Choice, Domain, Integer, Uniform, hand_set, sample
from raydr.errors import RunError
from raydr.search.records import TrialRecord

_MAX_DRAWS: Final = 100
"""For settings that may stand together: a space may hold such as do not, all losses' weights 0."""


def planned(number: int, sample: Mapping[str, Any], *, epochs: int = 0) -> dict[str, Any]:
    """Tune's configuration of a trial: its number, its settings, the epochs of it that are recorded."""
    return {"trial": {"number": number, "sample": dict(sample), "epochs": epochs}}


def resumed(record: TrialRecord) -> dict[str, Any]:
    """Tune's configuration of a trial that was under way: with the settings that it has now, from where it is."""
    return planned(record.number, record.now, epochs=record.epochs_done)


def drawn_sample(space: Mapping[str, Domain], distill: BaseModel, *, seed: int, number: int) -> dict[str, Any]:
    """The sample of a trial, however many trials there are; number 0 has the hand-set settings.

    Raises:
        RunError: The space has hardly any settings that may stand together.
    """
    if number == 0:
        return hand_set(space, distill)
    return _first_valid(space, distill, lambda draw: sample(space, _SeededDraw(seed, number, draw)))


class Proposals(Searcher):
    """Optuna's tree of Parzen estimators (Bergstra et al., NeurIPS 2011) as Tune asks for it.

    Args:
        space: What is tried.
        distill: The settings that a sample overrides; those of trial 0 are these.
        past: Trials that are done, of which it knows the outcome from the start.
        waiting: Trials that have a sample already and come first.
        numbers: Of the trials that it may propose.
        value_of: The figure to raise, by a trial's number; NaN where it reached none.
        seed: Of the proposals.
    """

    def __init__(
        self,
        space: Mapping[str, Domain],
        distill: BaseModel,
        *,
        past: Sequence[TrialRecord],
        waiting: Sequence[TrialRecord],
        numbers: Sequence[int],
        value_of: Callable[[int], float],
        seed: int,
    ) -> None:
        super().__init__()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._distill, self._value_of = space, distill, value_of
        self._waiting, self._numbers = list(waiting), list(numbers)
        self._study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        )
        self._asked: dict[str, optuna.Trial] = {}
        self._given: dict[str, tuple[int, dict[str, Any]]] = {}
        for record in past:
            self._learn(record.sample, record.best_auc)

    def suggest(self, trial_id: str) -> Any:
        """The next trial."""
        if self._waiting:
            record = self._waiting.pop(0)
            self._given[trial_id] = (record.number, record.sample)
            return resumed(record)
        if not self._numbers:
            return Searcher.FINISHED
        number = self._numbers.pop(0)
        found = hand_set(self._space, self._distill) if number == 0 else self._ask(trial_id)
        self._given[trial_id] = (number, found)
        return planned(number, found)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - Tune's signature
        """Learn what a trial reached."""
        number, found = self._given.pop(trial_id)
        value = self._value_of(number)
        asked = self._asked.pop(trial_id, None)
        if asked is None:
            self._learn(found, value)
        elif np.isfinite(value):
            self._study.tell(asked, value)
        else:
            self._study.tell(asked, state=optuna.trial.TrialState.FAIL)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the records of the trials are what a search goes on from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune keeps a copy of the search that raydr never reads."""
        return {}

    def _ask(self, trial_id: str) -> dict[str, Any]:
        def draw(_attempt: int) -> dict[str, Any]:
            if trial_id in self._asked:
                self._study.tell(self._asked[trial_id], state=optuna.trial.TrialState.FAIL)
            self._asked[trial_id] = self._study.ask()
            return sample(self._space, _AskedDraw(self._asked[trial_id]))

        return _first_valid(self._space, self._distill, draw)

    def _learn(self, found: Mapping[str, Any], value: float) -> None:
        parts = {key: _parameter(self._space[key], given) for key, given in found.items()}
        known = {key: part for key, part in parts.items() if part is not None}
        if np.isfinite(value):
            self._study.add_trial(
                optuna.create_trial(
                    params={key: given for key, (given, _) in known.items()},
                    distributions={key: distribution for key, (_, distribution) in known.items()},
                    value=value,
                )
            )


class _SeededDraw:
    """Random values that depend on seed, trial, attempt and key alone: another key more changes no other value."""

    def __init__(self, seed: int, number: int, attempt: int) -> None:
        self._entropy = [seed, number, attempt]

    def number(self, key: str, low: float, high: float, *, is_log: bool) -> float:
        value = self._random(key).uniform(*(np.log([low, high]) if is_log else (low, high)))
        return float(min(max(np.exp(value) if is_log else value, low), high))

    def integer(self, key: str, low: int, high: int, *, is_log: bool) -> int:
        if not is_log:
            return int(self._random(key).integers(low, high, endpoint=True))
        value = np.exp(self._random(key).uniform(np.log(low - 0.5), np.log(high + 0.5)))
        return min(max(round(float(value)), low), high)

    def place(self, key: str, count: int) -> int:
        return int(self._random(key).integers(count))

    def _random(self, key: str) -> np.random.Generator:
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
        return np.random.default_rng([*self._entropy, number])


class _AskedDraw:
    """Values that Optuna proposes as it is asked for them; choices by their place, since it takes no lists."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def number(self, key: str, low: float, high: float, *, is_log: bool) -> float:
        return self._trial.suggest_float(key, low, high, log=is_log)

    def integer(self, key: str, low: int, high: int, *, is_log: bool) -> int:
        return self._trial.suggest_int(key, low, high, log=is_log)

    def place(self, key: str, count: int) -> int:
        return int(self._trial.suggest_categorical(key, range(count)))


def _first_valid(
    space: Mapping[str, Domain], distill: BaseModel, draw: Callable[[int], dict[str, Any]]
) -> dict[str, Any]:
    reason = ""
    for attempt in range(_MAX_DRAWS):
        found = draw(attempt)
        try:
            with_overrides(distill, found)
        except ValueError as error:
            reason = str(error)
        else:
            return found
    raise RunError(f"search: space: of {_MAX_DRAWS} draws from {', '.join(space)} none may stand together: {reason}")


def _parameter(domain: Domain, value: Any) -> tuple[Any, optuna.distributions.BaseDistribution] | None:
    """A value and its domain in Optuna's terms; None for one outside, as a hand-set one may be."""
    match domain:
        case Uniform() | Integer():
            is_log = domain.kind.startswith("log")
            distribution: optuna.distributions.BaseDistribution = (
                optuna.distributions.FloatDistribution(domain.low, domain.high, log=is_log)
                if isinstance(domain, Uniform)
                else optuna.distributions.IntDistribution(domain.low, domain.high, log=is_log)
            )
            inside = isinstance(value, int | float) and domain.low <= value <= domain.high
            return (value, distribution) if inside else None
        case Choice():
            places = range(len(domain.values))
            known = [place for place in places if domain.values[place] == value]
            return (known[0], optuna.distributions.CategoricalDistribution(places)) if known else None
