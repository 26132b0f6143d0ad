"""What Tune sends along with a trial, which Ray writes into a log."""

from ray.tune.execution import class_cache

from raydr.search.tuner import credentials_stay


class Trial:
    """Anything that can be made an actor of."""


def sent_along():
    """The variables in the runtime environment of a trial's actor."""
    actor = class_cache._ActorClassCache().get(Trial)
    return actor._default_options["runtime_env"]["env_vars"]


def test_no_key_of_an_object_store_goes_with_a_trial(monkeypatch):
    keys = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "planted", "AWS_SESSION_TOKEN": "planted"}
    for name, value in {**keys, "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5"}.items():
        monkeypatch.setenv(name, value)
    assert set(keys) <= set(sent_along()), "Tune sends none by itself any more: `credentials_stay` can go"
    with credentials_stay():
        sent = sent_along()
    assert not set(keys) & set(sent)
    assert sent["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] == "0.5"
    assert set(keys) <= set(sent_along())
