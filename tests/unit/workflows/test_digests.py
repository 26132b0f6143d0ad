"""What makes a stage another one: what shapes its result, not where and how it runs."""

import pytest

from raydr.config.load import load
from raydr.errors import SettingsError
from raydr.workflows.digests import digest_of_settings

BASE = {"out": "runs/x", "data.manifest": "manifest.parquet"}


def settings(**changes):
    return load("pretrain", [], overrides={**BASE, **changes})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cluster.save_every_minutes", None),
        ("cluster.save_every_steps", 50),
        ("cluster.max_workers", 8),
        ("cluster.max_preemption_failures", 3),
        ("cluster.stop_grace_s", 100.0),
        ("out", "runs/y"),
    ],
)
def test_how_often_states_are_saved_and_on_how_many_workers_is_no_other_training(key, value):
    assert settings(**{key: value}) != settings()
    assert digest_of_settings(settings(**{key: value})) == digest_of_settings(settings())


def test_what_shapes_the_training_is_another_one():
    assert digest_of_settings(settings(seed=1)) != digest_of_settings(settings())


def test_fewer_workers_at_most_than_at_least_are_refused():
    with pytest.raises(SettingsError, match=r"cluster\.max_workers: must be at least num_workers \(4\) \(got 2\)"):
        settings(**{"cluster.num_workers": 4, "cluster.max_workers": 2})
