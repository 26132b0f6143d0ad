"""A file of weights from elsewhere, for a network that timm knows."""

import io
import pickle
from collections.abc import Mapping
from typing import Any, Final

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from raydr import storage
from raydr.errors import InputError

_SUFFIXES: Final = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")
_TABLES: Final = ("state_dict", "model", "model_state_dict", "teacher", "state_dict_ema")
_PREFIXES: Final = ("module.", "model.", "backbone.", "encoder.", "network.", "base_encoder.", "_orig_mod.")


def is_weights_file(uri: str) -> bool:
    """Whether ``uri`` is named like a file of weights."""
    return uri.endswith(_SUFFIXES)


def load_weights_file(uri: str, network: nn.Module) -> None:
    """Fill a network without head from a file of weights: safetensors, or a pickle of tensors and plain values only.

    Names may stand in a table (`state_dict`, `model`, ...) and behind common prefixes (`module.`, `backbone.`, ...);
    what the network has no place for, such as a head, is left out.

    Raises:
        InputError: The file cannot be read, would run code, or has not every tensor of the network in its shape.
    """
    found = _stripped(_read(uri), set(network.state_dict()))
    wrong = [
        name
        for name, tensor in network.state_dict().items()
        if name not in found or (found[name].shape != tensor.shape and not name.endswith("num_batches_tracked"))
    ]
    if wrong:
        first = wrong[0]
        shape = f"has the shape {list(found[first].shape)}" if first in found else "is missing"
        raise InputError(
            f"{uri}: {first}: {shape}, the network wants {list(network.state_dict()[first].shape)} "
            f"({len(wrong)} of its {len(network.state_dict())} tensors are not there as they should be)"
        )
    network.load_state_dict({name: found[name] for name in network.state_dict()})


def _read(uri: str) -> Mapping[str, Any]:
    try:
        content = storage.read_bytes(uri)
    except OSError as error:
        raise InputError(f"{uri}: model.weights: cannot be read: {storage.cause_of(error)}") from None
    try:
        if uri.endswith(".safetensors"):
            return safetensors.torch.load(content)
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{uri}: model.weights: holds more than tensors and plain values, or is damaged: {reason}; save the "
            "state_dict alone, as safetensors at best"
        ) from None
    if not isinstance(loaded, Mapping):
        raise InputError(f"{uri}: model.weights: holds a {type(loaded).__name__}; a table of tensors is wanted")
    return loaded


def _stripped(content: Mapping[str, Any], wanted: set[str]) -> dict[str, Tensor]:
    """The tensors by the network's names: of the tables and prefixes the one that fits most of them."""
    tables = [content, *(content[name] for name in _TABLES if isinstance(content.get(name), Mapping))]
    candidates = [{str(name): value for name, value in table.items() if isinstance(value, Tensor)} for table in tables]
    best: dict[str, Tensor] = {}
    for tensors in candidates:
        seen, waiting = set(), [""]
        while waiting:
            prefix = waiting.pop()
            seen.add(prefix)
            found = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            if len(wanted & set(found)) > len(wanted & set(best)):
                best = found
            waiting += [
                longer
                for longer in (prefix + part for part in _PREFIXES)
                if longer not in seen and any(name.startswith(longer) for name in tensors)
            ]
    return best
