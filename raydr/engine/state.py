"""A training's state as a folder: model.safetensors, optimizer.pt, state.json, the best and the averaged weights."""

import hashlib
import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from raydr.engine.moving_average import MovingAverage

_MODEL, _BEST, _AVERAGE = "model.safetensors", "best.safetensors", "average.safetensors"
_OPTIMIZER, _STATE = "optimizer.pt", "state.json"


@dataclass(slots=True)
class Progress:
    """How far a training is."""

    epochs_done: int = 0
    steps_done: int = 0
    """In the epoch under way."""
    steps_per_epoch: int = 0
    """Of the epoch under way: with other workers a later attempt may have another number."""
    loss_sum: float = 0.0
    """Of the steps done in the epoch under way."""
    best_epoch: int | None = None
    best_value: float | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    """One row of metrics an epoch."""


class StateError(Exception):
    """A state folder that cannot be gone on from."""


class TornStateError(StateError):
    """A state folder that is incomplete or not what was saved; an older one may do."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A training's state in memory, apart from the training itself, which may go on while this is written."""

    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    best_weights: Mapping[str, Tensor] | None
    average: Mapping[str, Tensor] | None
    description: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Write the state into an empty folder, onto the disk; its description, which makes it one, comes last."""
        folder.mkdir(parents=True, exist_ok=True)
        digests = {
            _MODEL: _write(folder / _MODEL, safetensors.torch.save(dict(self.weights))),
            _OPTIMIZER: _write_optimizer(folder / _OPTIMIZER, self.optimizer),
        }
        for name, weights in ((_BEST, self.best_weights), (_AVERAGE, self.average)):
            if weights is not None:
                digests[name] = _write(folder / name, safetensors.torch.save(dict(weights)))
        content = {**self.description, "sha256": digests}
        _write(folder / _STATE, json.dumps(content, indent=2).encode())


def take_snapshot(
    *,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    best_weights: Mapping[str, Tensor] | None,
    settings_digest: str,
    average: MovingAverage | None = None,
) -> Snapshot:
    """The state as it is now."""
    return Snapshot(
        weights=weights_copy(network),
        optimizer=_copy(optimizer.state_dict()),
        best_weights=best_weights,
        average=None if average is None else average.state(),
        description={"settings_digest": settings_digest, **asdict(progress)},
    )


def load_state(
    folder: Path,
    *,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings_digest: str,
    average: MovingAverage | None = None,
) -> tuple[Progress, dict[str, Tensor] | None]:
    """Fill network, optimiser and average from a state folder; returns the progress and the best weights.

    Raises:
        TornStateError: A file is missing, its digest differs, or it is no file of tensors.
        StateError: The state belongs to other settings.
    """
    try:
        content: dict[str, Any] = json.loads((folder / _STATE).read_text())
        digests = content.pop("sha256")
        torn = [name for name, digest in digests.items() if _digest(folder / name) != digest]
        found_digest, progress = content.pop("settings_digest"), Progress(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TornStateError(f"{folder}: {_STATE} or a file that it names cannot be read: {error}") from error
    if torn:
        raise TornStateError(f"{folder}: {torn[0]} is not the file that was saved: torn or tampered with")
    if found_digest != settings_digest:
        raise StateError(f"{folder}: was saved by a training with other settings")
    network.load_state_dict(_read(folder / _MODEL))
    options = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(_read(folder / _OPTIMIZER))
    if average is not None:
        average.load_state(_read(folder / _AVERAGE))
    for group, own in zip(optimizer.param_groups, options, strict=True):
        group.update(own)  # a trial may go on from another's state with a rate of its own
    return progress, _read(folder / _BEST) if _BEST in digests else None


def _read(path: Path) -> dict[str, Any]:
    """The tensors of a file; one that would run code when it is read is none of ours, whatever its digest."""
    try:
        if path.name == _OPTIMIZER:
            optimizer: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
            return optimizer
        return safetensors.torch.load_file(path)
    except (SafetensorError, pickle.UnpicklingError, EOFError) as error:
        raise TornStateError(
            f"{path.parent}: {path.name} holds something else than tensors and plain values"
        ) from error


def weights_copy(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the network's weights on the CPU."""
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)  # all that safetensors takes
        for name, tensor in network.state_dict().items()
    }


def _copy(value: Any) -> Any:
    """A nested state with every tensor copied to the CPU, as it is laid out: an optimiser's must lie as the weights."""
    match value:
        case Tensor():
            return value.detach().to("cpu", copy=True)
        case dict():
            return {key: _copy(part) for key, part in value.items()}
        case list() | tuple():
            return type(value)(_copy(part) for part in value)
        case _:
            return value


def _write_optimizer(path: Path, content: Mapping[str, Any]) -> str:
    with path.open("wb") as file:
        torch.save(dict(content), file)
        file.flush()
        os.fsync(file.fileno())
    return _digest(path)


def _write(path: Path, content: bytes) -> str:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
