"""Settings and figures in MLflow's form."""

import math

import numpy as np
import pytest

from raydr.tracking.params import clean_key, clean_tags, finite, flatten


def test_nested_settings_get_dotted_keys_and_scalars_read_as_in_toml():
    settings = {
        "data": {"fraction": 0.02, "external": ["a", "b"], "none": None},
        "crop": True,
        "name": "x",
        "empty": {},
    }
    assert flatten(settings) == {
        "data.fraction": "0.02",
        "data.external": '["a", "b"]',
        "data.none": "null",
        "crop": "true",
        "name": "x",
        "empty": "{}",
    }


def test_long_values_are_cut_to_mlflows_limits_and_say_so():
    value = flatten({"long": "x" * 9000})["long"]
    assert len(value) == 6000
    assert value.endswith("… (9000 characters)")
    assert len(clean_tags({"long": "x" * 9000})["long"]) == 8000


def test_long_names_that_begin_alike_stay_different():
    first, second = (clean_key("k" * 300 + end) for end in "ab")
    assert len(first) == len(second) == 250
    assert first != second


@pytest.mark.parametrize(
    ("key", "clean"),
    [
        ("auc/external set 1", "auc/external set 1"),
        ("auc (95 %)", "auc _95 __"),
        ("auc/Zürich", "auc/Z_rich"),
        ("../up", "_up"),
        ("/root/", "_root_"),
        ("a//b", "a_/b"),
        ("", "_"),
    ],
)
def test_names_become_what_mlflow_takes(key, clean):
    from mlflow.utils.validation import path_not_unique, validate_param_and_metric_name

    assert clean_key(key) == clean
    assert validate_param_and_metric_name(clean)
    assert not path_not_unique(clean)


def test_passwords_in_settings_are_not_recorded():
    assert flatten({"uri": "https://me:secret@host/"}) == {"uri": "https://***@host/"}


def test_only_finite_numbers_are_left():
    figures = {"auc": np.float32(0.5), "count": 3, "nan": math.nan, "infinite": -math.inf, "none": None, "text": "a"}
    assert finite(figures) == {"auc": 0.5, "count": 3.0}
