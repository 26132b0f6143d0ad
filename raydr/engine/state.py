"""A training's state as a folder: model.safetensors, optimizer.pt, state.json, and the best weights so far."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

_MODEL, _BEST, _OPTIMIZER, _STATE = "model.safetensors", "best.safetensors", "optimizer.pt", "state.json"


@dataclass(slots=True)
class Progress:
    """How far a training is."""

    epochs_done: int = 0
    best_epoch: int | None = None
    best_value: float | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    """One row of metrics an epoch."""


class StateError(Exception):
    """A state folder that is torn, tampered with, or of another training."""


def save_state(
    folder: Path,
    *,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    best_weights: dict[str, Tensor] | None,
    settings_digest: str,
) -> None:
    """Write the state into an empty folder; whoever keeps it must keep it whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(_plain(network.state_dict()), folder / _MODEL)
    if best_weights is not None:
        safetensors.torch.save_file(best_weights, folder / _BEST)
    torch.save(optimizer.state_dict(), folder / _OPTIMIZER)
    names = [_MODEL, _OPTIMIZER, *([_BEST] if best_weights is not None else [])]
    content = {
        "settings_digest": settings_digest,
        "epochs_done": progress.epochs_done,
        "best_epoch": progress.best_epoch,
        "best_value": progress.best_value,
        "history": progress.history,
        "sha256": {name: _digest(folder / name) for name in names},
    }
    (folder / _STATE).write_text(json.dumps(content, indent=2))


def load_state(
    folder: Path, *, network: nn.Module, optimizer: torch.optim.Optimizer, settings_digest: str
) -> tuple[Progress, dict[str, Tensor] | None]:
    """Fill network and optimiser from a state folder; returns the progress and the best weights.

    Raises:
        StateError: A file is missing, its digest differs, or the state belongs to other settings.
    """
    try:
        content: dict[str, Any] = json.loads((folder / _STATE).read_text())
        torn = [name for name, digest in content["sha256"].items() if _digest(folder / name) != digest]
    except (OSError, ValueError, KeyError) as error:
        raise StateError(f"{folder}: {_STATE} or a file that it names cannot be read: {error}") from error
    if torn:
        raise StateError(f"{folder}: {torn[0]} is not the file that was saved: torn or tampered with")
    if content["settings_digest"] != settings_digest:
        raise StateError(f"{folder}: was saved by a training with other settings")
    network.load_state_dict(safetensors.torch.load_file(folder / _MODEL))
    optimizer.load_state_dict(torch.load(folder / _OPTIMIZER, weights_only=True, map_location="cpu"))
    best = safetensors.torch.load_file(folder / _BEST) if _BEST in content["sha256"] else None
    progress = Progress(content["epochs_done"], content["best_epoch"], content["best_value"], content["history"])
    return progress, best


def weights_copy(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the network's weights on the CPU."""
    return {name: tensor.clone() for name, tensor in _plain(network.state_dict()).items()}


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
