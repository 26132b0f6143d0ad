"""Why workers failed, in their own words."""

from collections.abc import Mapping

from ray.train import ControllerError
from ray.train.v2.api.exceptions import TrainingFailedError

from raydr.engine.state import StateError
from raydr.errors import InputError, RunError


def told(error: TrainingFailedError) -> InputError | RunError:
    """What ended a training, as an error for a person to read."""
    if isinstance(error, ControllerError) and isinstance(error.controller_failure, InputError | RunError):
        return error.controller_failure
    failures: Mapping[int, BaseException] = getattr(error, "worker_failures", None) or {}
    return final(failures) or RunError(reasons(failures) or str(error).strip().splitlines()[-1])


def final(failures: Mapping[int, BaseException]) -> InputError | RunError | None:
    """What ends the training because another attempt would fail alike, None where one is worth making.

    A loss that is no number comes again from the same state, images and views; so does bad input.
    """
    causes = [_cause(failure) for _, failure in sorted(failures.items())]
    for cause in causes:
        if isinstance(cause, InputError):
            return InputError(_last_line(cause))
    if any(isinstance(cause, FloatingPointError | StateError) for cause in causes):
        return RunError(reasons(failures))
    return None


def reasons(failures: Mapping[int, BaseException]) -> str:
    """Each reason once: one rank's death makes others fail too, so the first may not be the cause."""
    found: dict[str, int] = {}
    for rank, failure in sorted(failures.items()):
        found.setdefault(_last_line(_cause(failure)), rank)
    return "; ".join(f"worker {rank} failed: {text}" for text, rank in found.items())


def reason(failure: BaseException) -> str:
    """Why a task of Ray failed, in a line."""
    return _last_line(_cause(failure))


def _cause(failure: BaseException) -> BaseException:
    """What the worker's code raised, within Ray's wrappings."""
    for _ in range(2):
        failure = getattr(failure, "cause", None) or failure
    return failure


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
