"""Which settings a trial gets: by its number alone, or from what Optuna has learned."""

import math

import numpy as np
import optuna
import pytest
from pydantic import TypeAdapter
from ray.tune.search import Searcher

from raydr.config.override import with_overrides
from raydr.config.space import Space
from raydr.config.stages import DistillStage
from raydr.errors import RunError
from raydr.search.records import TrialRecord
from raydr.search.sampling import Proposals, drawn_sample

DISTILL = DistillStage()
TABLES = {
    "distillation.temperature": {"kind": "loguniform", "low": 1.0, "high": 100.0},
    "distillation.sharpened_weight": {"kind": "choice", "values": [0.0, 1.0]},
    "distillation.sharpening": {
        "kind": "uniform",
        "low": 0.2,
        "high": 0.9,
        "when": {"distillation.sharpened_weight": [1.0]},
    },
    "optim.batch_size": {"kind": "loginteger", "low": 2, "high": 512},
}


def space_of(tables) -> Space:
    return TypeAdapter(Space).validate_python(tables)


SPACE = space_of(TABLES)


def draw(number, *, space=SPACE, seed=3, distill=DISTILL):
    return drawn_sample(space, distill, seed=seed, number=number)


def test_a_sample_depends_on_seed_and_number_alone_and_a_further_key_changes_no_other():
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
    assert draw(7) != draw(7, seed=4)
    more = draw(7, space=space_of({"labelled_fraction": {"kind": "uniform", "low": 0.0, "high": 1.0}, **TABLES}))
    assert {key: more[key] for key in draw(7)} == draw(7)


def test_trial_0_has_the_hand_set_settings():
    assert with_overrides(DISTILL, draw(0)) == DISTILL


def test_samples_are_spread_as_their_kind_says():
    drawn = [draw(number) for number in range(1, 1500)]
    temperatures = np.log10([found["distillation.temperature"] for found in drawn])
    sizes = np.log2([found["optim.batch_size"] for found in drawn])
    for values, low, high in ((temperatures, 0, 2), (sizes, 1, 9)):
        assert (values >= low).all()
        assert (values <= high).all()
        shares = np.histogram(values, bins=4, range=(low, high))[0] / len(values)
        assert shares == pytest.approx([0.25] * 4, abs=0.05)
    assert all(isinstance(found["optim.batch_size"], int) for found in drawn)
    sharpened = [found for found in drawn if "distillation.sharpening" in found]
    assert len(sharpened) / len(drawn) == pytest.approx(0.5, abs=0.05)
    assert {found["distillation.sharpened_weight"] for found in sharpened} == {1.0}


def test_settings_that_may_not_stand_together_are_drawn_again():
    none = {"kind": "choice", "values": [0.0, 1.0]}
    space = space_of({"distillation.soft_weight": none, "distillation.label_weight": none})
    drawn = [draw(number, space=space) for number in range(1, 60)]
    assert {tuple(found.values()) for found in drawn} == {(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)}
    nothing = space_of({"distillation.soft_weight": {"kind": "choice", "values": [0.0]}})
    unlabelled = DistillStage.model_validate({"distillation": {"label_weight": 0.0}})
    with pytest.raises(RunError, match=r"of 100 draws from distillation\.soft_weight none may stand together: .*all 0"):
        draw(1, space=nothing, distill=unlabelled)


def proposals(*, numbers, past=(), waiting=(), value_of=lambda _: math.nan, space=SPACE):
    return Proposals(space, DISTILL, past=past, waiting=waiting, numbers=numbers, value_of=value_of, seed=0)


def test_tpe_learns_where_the_best_trials_are():
    values = {}

    def objective(sample):
        return -abs(np.log10(sample["distillation.temperature"]) - 1.5) + 0.2 * (
            sample["distillation.sharpened_weight"] == 1.0
        )

    search = proposals(numbers=range(60), value_of=values.__getitem__)
    found = []
    for trial in range(60):
        sample = search.suggest(str(trial))["trial"]["sample"]
        with_overrides(DISTILL, sample)
        values[trial] = objective(sample)
        search.on_trial_complete(str(trial), {})
        found.append(sample)
    assert search.suggest("60") == Searcher.FINISHED
    late = found[30:]
    assert (
        np.mean([values[trial] for trial in range(30, 60)]) > np.mean([objective(draw(n)) for n in range(1, 300)]) + 0.3
    )
    assert sum(sample["distillation.sharpened_weight"] for sample in late) > 20


def test_tpe_knows_what_earlier_attempts_have_found_and_runs_their_unfinished_trials_first():
    good, bad = 31.0, 1.5
    past = [
        TrialRecord(number, {"distillation.temperature": at}, [{"epoch": 0.0, "val_auc": value}], "done")
        for number, (at, value) in enumerate([(good, 0.9), (bad, 0.5)] * 8)
    ]
    row = {"epoch": 0.0, "val_auc": 0.6}
    waiting = [TrialRecord(20, {"distillation.temperature": 7.0}, [row], "running")]
    space = space_of({"distillation.temperature": TABLES["distillation.temperature"]})
    search = proposals(numbers=range(21, 41), past=past, waiting=waiting, space=space)
    assert search.suggest("a")["trial"] == {"number": 20, "sample": waiting[0].sample, "epochs": 1}
    asked = []
    for trial in map(str, range(20)):
        asked.append(search.suggest(trial)["trial"])
        search.on_trial_complete(trial, error=True)  # so that it has only the past to learn from
    assert [trial["number"] for trial in asked] == list(range(21, 41))
    near = [trial["sample"]["distillation.temperature"] > 10 for trial in asked]
    assert np.mean(near) > 0.75, "half of them were, had it learned nothing"


def test_a_trial_that_reached_nothing_teaches_nothing():
    search = proposals(numbers=[1])
    search.suggest("a")
    search.on_trial_complete("a", error=True)
    states = [trial.state for trial in search._study.trials]
    assert states == [optuna.trial.TrialState.FAIL]
