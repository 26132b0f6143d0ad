"""What must be in the environment before Ray is imported, since Ray reads it only then."""

import os
import secrets


def set_environment(address: str | None) -> None:
    """Quieten Ray and, where raydr will start a cluster of its own, close it to everybody else.

    Ray would otherwise write a token of its own into the user's home, readable by all, and use it for every cluster.

    Args:
        address: The cluster that the settings name, if any; RAY_ADDRESS counts as well.
    """
    for name, value in (
        ("RAY_DATA_DISABLE_PROGRESS_BARS", "1"),
        ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"),
        ("RAY_USAGE_STATS_ENABLED", "0"),
        ("RAY_BACKEND_LOG_LEVEL", "fatal"),  # the core's notes to its developers on standard error
        ("RAY_TRAIN_METRICS_ENABLED", "0"),
        ("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1"),
        ("RAY_AIR_NEW_OUTPUT", "0"),
        # Tune notes down for itself where a search is at every other state; raydr goes on from records of its own.
        ("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0"),
    ):
        os.environ.setdefault(name, value)
    if not address and not os.environ.get("RAY_ADDRESS"):
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
