import numpy as np
import pytest

from raydr.config.override import parse_value, set_dotted, split_key, with_overrides
from raydr.config.stages import DistillStage


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ("12", 12),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ("null", None),
        ("runs/demo", "runs/demo"),
        ("s3://b/x", "s3://b/x"),
        ('"7"', "7"),
        ("", ""),
        ("True", "True"),
    ],
)
def test_a_value_is_toml_or_else_text(text: str, value: object) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_a_dotted_key_may_quote_names_with_dots() -> None:
    assert split_key("a.b_c.d-e") == ["a", "b_c", "d-e"]
    assert split_key('search.space."optim.epochs".low') == ["search", "space", "optim.epochs", "low"]
    for bad in ("", ".", "a.", ".a", "a..b", 'a."b', "a b"):
        with pytest.raises(ValueError, match="no dotted key"):
            split_key(bad)


def test_missing_tables_are_made_and_values_are_not_entered() -> None:
    tree = {"a": None, "v": 1}
    set_dotted(tree, "a.b.c", 2)
    assert tree == {"a": {"b": {"c": 2}}, "v": 1}
    with pytest.raises(ValueError, match=r"v\.x: v is a value, not a table"):
        set_dotted(tree, "v.x", 2)


def test_overrides_make_new_settings_and_leave_the_old() -> None:
    before = DistillStage()
    after = with_overrides(before, {"distillation.temperature": 3.5, "optim.epochs": 2})
    assert (after.distillation.temperature, after.optim.epochs) == (3.5, 2)
    assert (before.distillation.temperature, before.optim.epochs) == (2.0, 30)
    assert with_overrides(before, {}) == before


def test_numpy_numbers_of_a_sampler_are_numbers() -> None:
    after = with_overrides(DistillStage(), {"distillation.temperature": np.float64(3.5), "optim.epochs": np.int64(4)})
    assert (after.distillation.temperature, after.optim.epochs) == (3.5, 4)
    assert type(after.optim.epochs) is int


def test_a_bad_override_names_its_key_and_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"^trial 3: optim\.epochs: must be above 0 \(got 0\)$"):
        with_overrides(DistillStage(), {"optim.epochs": 0}, where="trial 3")
    with pytest.raises(ValueError, match=r"^optim\.epoch: no such key; did you mean epochs\?"):
        with_overrides(DistillStage(), {"optim.epoch": 1})
