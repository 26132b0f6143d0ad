"""Any image model of timm as a feature extractor that normalises for itself."""

from difflib import get_close_matches
from typing import Any, Final, Literal

import timm
import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from raydr.errors import InputError, RunError

# What lets a network take pictures of a size other than its published one, by family: vision transformers resample
# their position embeddings and pad to whole patches, windowed ones (Swin) to whole windows, convolutions just do.
_ANY_SIZE_OPTIONS: Final[tuple[dict[str, Any], ...]] = (
    {"dynamic_img_size": True, "dynamic_img_pad": True},
    {"dynamic_img_size": True},
    {"strict_img_size": False},
    {},
)


class Backbone(nn.Module):
    """A timm network without its head: images [B, 3, S, S] in [0, 1] in, pooled features [B, num_features] out.

    Mean and standard deviation are those that the network's published weights were trained with. They are kept with
    its weights, so that a saved model means the same under a timm that has changed its mind.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, *, name: str, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.name = name
        self.network = network
        # num_features is the width before pooling; some heads (MobileNetV3, VGG) hold one more layer that stays.
        width: Any = getattr(network, "head_hidden_size", None) or network.num_features
        self.num_features = int(width)
        self._layout = torch.contiguous_format
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def lay_channels_last(self, *, is_on: bool = True) -> None:
        """Keep weights and pictures with a pixel's channels side by side, as fast convolutions want them, or not."""
        self._layout = torch.channels_last if is_on else torch.contiguous_format
        self.network.to(memory_format=self._layout)

    def normalised(self, image: Tensor) -> Tensor:
        """Images [B, 3, S, S] in [0, 1] as the network inside takes them."""
        return ((image - self.mean) / self.std).contiguous(memory_format=self._layout)

    def forward(self, image: Tensor) -> Tensor:
        """Pooled features [B, num_features] of images [B, 3, S, S] in [0, 1]."""
        features: Tensor = self.network(self.normalised(image))
        return features


def check_backbone(name: str, key: str = "backbone") -> None:
    """Raise InputError, with near matches, where timm does not know the model ``name`` that ``key`` asks for."""
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=4) or ["resnet18", "resnet50", "vit_small_patch16_224"]
        raise InputError(f"{key}: timm knows no model {name!r}; near it are {', '.join(near)}")


def create_backbone(name: str, *, weights: Literal["none", "timm"] = "none") -> Backbone:
    """The timm model ``name`` without its head, freshly initialised or (``timm``) with its published weights.

    InputError, with near matches, where timm does not know the name or has no weights for it; RunError where the
    weights cannot be fetched.
    """
    check_backbone(name)
    if weights == "timm" and not timm.models.is_model_pretrained(name):
        raise InputError(f"backbone: timm publishes no weights for {name!r}; allowed is weights = 'none'")
    network = _create_network(name, pretrained=weights == "timm")
    published: Any = getattr(network, "pretrained_cfg", None) or {}
    return Backbone(
        network,
        name=name,
        mean=tuple(published.get("mean") or IMAGENET_DEFAULT_MEAN),
        std=tuple(published.get("std") or IMAGENET_DEFAULT_STD),
    )


def _create_network(name: str, *, pretrained: bool) -> nn.Module:
    refusal: TypeError | None = None
    for any_size in _ANY_SIZE_OPTIONS:
        try:
            network: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0, **any_size)
        except TypeError as error:  # an option that this family does not take; found before anything is downloaded
            refusal = error
        except OSError as error:
            raise RunError(
                f"backbone: the published weights of {name!r} cannot be fetched: {' '.join(str(error).split())}"
            ) from error
        else:
            return network
    raise InputError(f"backbone: timm cannot build {name!r}: {refusal}") from refusal
