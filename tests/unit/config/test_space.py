"""The search space: what is drawn, when, and what is refused before anything starts."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from raydr.config.override import with_overrides
from raydr.config.space import Space, check_space, extremes, hand_set, sample
from raydr.config.stages import DistillStage, SearchStage

SPACE = {
    "distillation.sharpened_weight": {"kind": "choice", "values": [0.0, 0.5, 1.0]},
    "distillation.sharpening": {
        "kind": "uniform",
        "low": 0.1,
        "high": 1.0,
        "when": {"distillation.sharpened_weight": [0.5, 1.0]},
    },
    "optim.batch_size": {"kind": "loginteger", "low": 8, "high": 128},
}


def space_of(tables: dict[str, Any]) -> Space:
    return TypeAdapter(Space).validate_python(tables)


class Fixed:
    """Draws what it is told to and notes which keys were asked for."""

    def __init__(self, place: int) -> None:
        self._place, self.asked = place, []

    def number(self, key, low, high, *, is_log):
        self.asked.append((key, low, high, is_log))
        return low

    def integer(self, key, low, high, *, is_log):
        self.asked.append((key, low, high, is_log))
        return high

    def place(self, key, count):
        self.asked.append((key, count))
        return self._place


def test_a_key_with_a_condition_is_drawn_only_where_it_is_met() -> None:
    unmet, met = Fixed(0), Fixed(2)
    assert sample(space_of(SPACE), unmet) == {"distillation.sharpened_weight": 0.0, "optim.batch_size": 128}
    assert sample(space_of(SPACE), met) == {
        "distillation.sharpened_weight": 1.0,
        "distillation.sharpening": 0.1,
        "optim.batch_size": 128,
    }
    assert met.asked == [
        ("distillation.sharpened_weight", 3),
        ("distillation.sharpening", 0.1, 1.0, False),
        ("optim.batch_size", 8, 128, True),
    ]


def test_a_condition_on_a_key_whose_own_is_not_met_is_not_met() -> None:
    chain = {
        "augment": {"kind": "choice", "values": ["weak", "strong"]},
        "keep": {"kind": "choice", "values": ["best", "last"], "when": {"augment": ["strong"]}},
        "labelled_fraction": {"kind": "uniform", "low": 0.1, "high": 0.5, "when": {"keep": ["best"]}},
    }
    assert sample(space_of(chain), Fixed(0)) == {"augment": "weak"}
    tried = dict(list(extremes(space_of(chain)))[-1:])
    assert tried == {"labelled_fraction": {"augment": "strong", "keep": "best", "labelled_fraction": 0.5}}


def test_what_is_tried_out_of_a_key_has_its_condition_met() -> None:
    tried = [overrides for key, overrides in extremes(space_of(SPACE)) if key == "distillation.sharpening"]
    assert {overrides["distillation.sharpened_weight"] for overrides in tried} == {0.5}
    check_space(space_of(SPACE), DistillStage())


def test_the_hand_set_sample_is_the_settings_themselves() -> None:
    stage = with_overrides(DistillStage(), {"distillation.sharpening": 0.3})
    point = hand_set(space_of(SPACE), stage)
    assert point == {
        "distillation.sharpened_weight": 0.0,
        "distillation.sharpening": 0.3,
        "optim.batch_size": 64,
    }
    assert with_overrides(stage, point) == stage


@pytest.mark.parametrize(
    ("key", "table", "text"),
    [
        ("optim.batch_size", {"kind": "integer", "low": 1, "high": 8}, "must be at least 2 (got 1)"),
        ("optim.learning_rates", {"kind": "uniform", "low": 0.1, "high": 0.2}, "did you mean learning_rate?"),
        (
            "distillation.sharpening",
            {"kind": "uniform", "low": 0.1, "high": 1.0, "when": {"augment": ["weak"]}},
            "must be a key of kind 'choice' that stands above distillation.sharpening in the space; allowed: keep",
        ),
        (
            "distillation.sharpening",
            {"kind": "uniform", "low": 0.1, "high": 1.0, "when": {"keep": ["first"]}},
            "'first' is no value of keep; allowed: 'best', 'last'",
        ),
    ],
)
def test_a_wrong_key_or_condition_is_named_before_anything_starts(key: str, table: dict[str, Any], text: str) -> None:
    space = space_of({"keep": {"kind": "choice", "values": ["best", "last"]}, key: table})
    with pytest.raises(PydanticCustomError) as caught:
        check_space(space, DistillStage())
    ((path, found),) = caught.value.context["found"]
    assert path[:2] == ("space", key)
    assert text in found


def test_bounds_of_whole_numbers_are_whole_and_ordered() -> None:
    for bounds in ({"low": 2, "high": 2}, {"low": 1.5, "high": 8}, {"low": 0, "high": 8}):
        with pytest.raises(ValidationError, match=r"low must be below high, and above 0 for loginteger|integer"):
            space_of({"optim.batch_size": {"kind": "loginteger", **bounds}})


def test_pbt_is_refused_keys_that_cannot_change_in_mid_training() -> None:
    rate = {"kind": "loguniform", "low": 1e-4, "high": 1e-3}
    SearchStage.model_validate({"scheduler": "pbt", "space": {"optim.learning_rate": rate}})
    with pytest.raises(ValidationError, match=r"cannot change in the middle of a training.*optim.learning_rate"):
        SearchStage.model_validate({"scheduler": "pbt", "space": {"optim.batch_size": SPACE["optim.batch_size"]}})
    with pytest.raises(ValidationError, match="cannot be with scheduler = 'pbt'"):
        SearchStage.model_validate({"scheduler": "pbt", "space": SPACE})
    with pytest.raises(ValidationError, match="must be 'random' where scheduler is 'pbt'"):
        SearchStage.model_validate({"scheduler": "pbt", "algorithm": "tpe", "space": {"optim.learning_rate": rate}})
