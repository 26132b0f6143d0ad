"""A model as a folder: weights, what they are, and how a photograph becomes their input."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from raydr import storage
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier

Head = Literal["binary", "grades"]
NUM_OUTPUTS: dict[Head, Literal[1, 5]] = {"binary": 1, "grades": 5}
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """All that is needed beside the weights; ``head`` is None for a bare backbone."""

    backbone: str
    head: Head | None
    preprocess: Preprocess
    drop_rate: float = 0.0
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Operating points chosen on the validation patients, by name."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Digests and run ids of what the model was made from."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A classifier in evaluation mode with its description."""

    network: Classifier
    description: ModelDescription

    @property
    def preprocess(self) -> Preprocess:
        """How a photograph becomes the network's input."""
        return self.description.preprocess

    @property
    def head(self) -> Head:
        """What the network predicts."""
        if self.description.head is None:
            raise ValueError("a bare backbone has no head")
        return self.description.head

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Operating points by name."""
        return self.description.thresholds


def save_model(folder: str, network: nn.Module, description: ModelDescription) -> None:
    """Write a model folder; the description, which makes it one, comes last.

    ``network`` has its backbone under ``backbone`` and, if it is a classifier, its head under ``head``.
    """
    kept = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in network.state_dict().items()
        if name.startswith(("backbone.", "head."))
    }
    weights = safetensors.torch.save(kept)
    storage.write_bytes(storage.join(folder, WEIGHTS), weights)
    content = {
        "format": _FORMAT,
        **dataclasses.asdict(description),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    storage.write_bytes(storage.join(folder, DESCRIPTION), json.dumps(content, indent=2).encode())


def read_description(folder: str) -> ModelDescription:
    """What the model in ``folder`` is; InputError where the folder holds none."""
    return _description(_read_json(folder))


def load_model(folder: str) -> LoadedModel:
    """The classifier in ``folder``, in evaluation mode on the CPU.

    Raises:
        InputError: no model there, a bare backbone, weights that are torn or do not fit the description.
    """
    content = _read_json(folder)
    description = _description(content)
    if description.head is None:
        raise InputError(f"{folder}: is a pretrained backbone without a head; `finetune` makes a classifier of it")
    backbone = create_backbone(description.backbone)
    backbone.lay_channels_last()
    network = Classifier(backbone, NUM_OUTPUTS[description.head], drop_rate=description.drop_rate)
    _fill(network, _read_weights(folder, content), folder)
    return LoadedModel(network.eval(), description)


def copy_model(source: str, target: str) -> None:
    """Copy a model folder; as in `save_model` the description, which makes it one, comes last."""
    storage.delete_file(storage.join(target, DESCRIPTION))  # an older one must not vouch for the new weights
    for name in (WEIGHTS, DESCRIPTION):
        storage.write_bytes(storage.join(target, name), storage.read_bytes(storage.join(source, name)))


def load_backbone_weights(folder: str, backbone: nn.Module, *, name: str) -> None:
    """Fill ``backbone`` from a model folder of the same architecture ``name``; InputError where it is another one."""
    content = _read_json(folder)
    if content["backbone"] != name:
        raise InputError(f"{folder}: backbone: is {content['backbone']!r}, but model.backbone asks for {name!r}")
    _fill(backbone, _read_part(folder, content, "backbone."), folder)


def load_head_weights(folder: str, head: nn.Module, *, kind: Head) -> None:
    """Fill ``head`` from the classifier in a model folder; InputError where its head is of another kind."""
    content = _read_json(folder)
    if content["head"] != kind:
        raise InputError(f"{folder}: head: is {content['head']!r}, but head.kind asks for {kind!r}")
    _fill(head, _read_part(folder, content, "head."), folder)


def _fill(module: nn.Module, weights: Mapping[str, Tensor], folder: str) -> None:
    wanted, missing = module.state_dict(), []
    for key, tensor in wanted.items():
        if key not in weights or weights[key].shape != tensor.shape:
            missing.append(key)
    if missing:
        raise InputError(f"{folder}: {WEIGHTS}: {missing[0]} is missing or of another shape ({len(missing)} in all)")
    module.load_state_dict({key: weights[key] for key in wanted})


def _read_json(folder: str) -> dict[str, Any]:
    uri = storage.join(folder, DESCRIPTION)
    try:
        content = json.loads(storage.read_bytes(uri))
    except OSError as error:
        raise InputError(f"{folder}: is no model folder ({DESCRIPTION}: {error.strerror or error})") from None
    except ValueError as error:
        raise InputError(f"{uri}: not valid JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise InputError(f"{uri}: format: only {_FORMAT} can be read")
    return content


def _description(content: Mapping[str, Any]) -> ModelDescription:
    known = {field.name: content[field.name] for field in dataclasses.fields(ModelDescription) if field.name in content}
    return ModelDescription(**{**known, "preprocess": Preprocess(**content["preprocess"])})


def _read_part(folder: str, content: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    """The weights whose names begin with ``prefix``, without it."""
    weights = _read_weights(folder, content)
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def _read_weights(folder: str, content: Mapping[str, Any]) -> dict[str, Tensor]:
    uri = storage.join(folder, WEIGHTS)
    try:
        data = storage.read_bytes(uri)
        if hashlib.sha256(data).hexdigest() != content["weights_sha256"]:
            raise InputError(f"{uri}: is not the file that {DESCRIPTION} describes (SHA-256 differs): torn or replaced")
        return safetensors.torch.load(data)
    except OSError as error:
        raise InputError(f"{uri}: cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        raise InputError(f"{uri}: not a safetensors file: {error}") from None
