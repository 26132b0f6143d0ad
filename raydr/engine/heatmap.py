"""Where in a picture a classifier sees referable retinopathy: as a map, and laid over the picture."""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from raydr.errors import InputError
from raydr.images.jpeg import encode
from raydr.models.classifier import Classifier, referable_log_odds

_STRENGTH: Final = 0.6  # of the colours where the map is 1; the retina is to be seen below them


def heat_map(network: Classifier, image: Tensor) -> NDArray[np.float32]:
    """How much each place of a picture speaks for referable retinopathy, [S, S] in [0, 1], 1 at the most telling place.

    Convolutional networks and windowed transformers: gradient times activation of the last map of features, summed over
    channels, below 0 cut off (HiResCAM, arXiv:2011.08891; where the mean over places follows, as in most, that is
    Grad-CAM, arXiv:1610.02391). Other vision transformers: what the attention of all blocks hands on, weighed by its
    gradient (arXiv:2103.15679, equations 5 and 6), since behind the first blocks a token is no place any more.
    Gradients are captum's, and of the log odds: the probability's vanish where the network is sure.

    A map is relative to its own picture, and all 0 where nothing speaks for it.

    Args:
        network: In evaluation mode; it is left as it was.
        image: [3, S, S] in [0, 1], on the network's device.

    Raises:
        InputError: The backbone has neither a map of features nor tokens that are known here.
    """
    if image.ndim != 3 or image.shape[1] != image.shape[2]:
        raise ValueError(f"image {tuple(image.shape)} must be [3, S, S]")
    inner: Any = network.backbone.network
    with torch.inference_mode(mode=False), torch.enable_grad():
        own = image[None].clone()  # one made in inference mode knows no gradient
        found = _attention_by_token(network, own) if _has_attention(inner) else _features_by_place(network, own)
    grid = _grid(found.detach().float(), inner, network.backbone.name).relu()
    side_px = image.shape[1]
    wide = F.interpolate(grid[None, None], size=_covered_px(inner, grid, side_px), mode="bilinear")[0, 0]
    heat = wide[:side_px, :side_px].cpu().numpy()
    return np.asarray(heat / max(float(heat.max()), np.finfo(np.float32).tiny), dtype=np.float32)


def overlay(picture: NDArray[np.uint8], heat: NDArray[np.float32]) -> bytes:
    """A picture [S, S, 3] with a map [S, S] in [0, 1] over it, as JPEG: blue, as nothing in an eye is, where it is 1.

    Where the map is 0 the picture is untouched.
    """
    colours = cv2.applyColorMap(np.round(255 * (1 - heat)).astype(np.uint8), cv2.COLORMAP_WINTER)[:, :, ::-1]
    share = _STRENGTH * heat[:, :, None]
    return encode(np.round(picture * (1 - share) + colours * share).astype(np.uint8))


class _CutClassifier(nn.Module):
    """A classifier whose last map of features passes a module of its own, where it can be had."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network
        self.features = nn.Identity()
        self.train(network.training)

    def forward(self, image: Tensor) -> Tensor:
        """Log odds [B] of images [B, 3, S, S]."""
        backbone = self.network.backbone
        inner: Any = backbone.network
        features = self.features(inner.forward_features(backbone.normalised(image)))
        return referable_log_odds(self.network.logits(inner.forward_head(features)))


def _features_by_place(network: Classifier, image: Tensor) -> Tensor:
    """What the last features contribute: [h, w], or [N] where they are tokens."""
    from captum.attr import LayerGradientXActivation  # brings matplotlib; whoever only scores does without

    if getattr(network.backbone.network, "global_pool", None) == "token":  # the others have no gradient any more
        raise InputError(f"{network.backbone.name}: has no heat map: it judges by a class token of unknown attention")
    cut = _CutClassifier(network)
    found: Tensor = LayerGradientXActivation(cut, cut.features).attribute(image)[0]
    is_channels_last = found.ndim == 2 or getattr(network.backbone.network, "output_fmt", "NCHW") == "NHWC"
    return found.sum(dim=-1 if is_channels_last else 0)


def _has_attention(inner: Any) -> bool:
    """Whether it is a transformer of one sequence of tokens whose attention can be looked at."""
    attentions: list[Any] = [getattr(block, "attn", None) for block in getattr(inner, "blocks", ())]
    return (
        hasattr(inner, "num_prefix_tokens")
        and bool(attentions)
        and all(
            hasattr(one, "fused_attn") and isinstance(getattr(one, "attn_drop", None), nn.Module) for one in attentions
        )
    )


def _attention_by_token(network: Classifier, image: Tensor) -> Tensor:
    """How much of each token [N] gets to where the network looks at last: its class token, or all patches."""
    from captum.attr import LayerGradientXActivation

    inner: Any = network.backbone.network
    attentions = [block.attn for block in inner.blocks]

    def log_odds(images: Tensor) -> Tensor:
        return referable_log_odds(network(images))

    with _looked_at(attentions):
        layers = [attention.attn_drop for attention in attentions]
        by_layer = LayerGradientXActivation(log_odds, layers).attribute(image)
    first = by_layer[0][0]
    own = torch.eye(first.shape[-1], dtype=first.dtype, device=first.device)
    relevance = own
    for contribution in by_layer:  # [1, heads, N, N]
        relevance = relevance + contribution[0].detach().relu().mean(dim=0) @ relevance
    handed_on = relevance - own  # that each token is its own tells nothing
    return handed_on[0] if inner.global_pool == "token" else handed_on[inner.num_prefix_tokens :].mean(dim=0)


@contextlib.contextmanager
def _looked_at(attentions: list[Any]) -> Iterator[None]:
    """Within the block attention is computed step by step; a fused kernel never has its weights."""
    before = [attention.fused_attn for attention in attentions]
    try:
        for attention in attentions:
            attention.fused_attn = False
        yield
    finally:
        for attention, was_fused in zip(attentions, before, strict=True):
            attention.fused_attn = was_fused


def _grid(found: Tensor, inner: Any, name: str) -> Tensor:
    """Contributions [h, w] as they are; of tokens [N], without those that are no patch, as [h, w]."""
    if found.ndim == 2:
        return found
    patches = found[int(getattr(inner, "num_prefix_tokens", 0)) :]
    side = round(len(patches) ** 0.5)
    if side**2 != len(patches):
        raise InputError(f"{name}: has no heat map: its {len(patches)} tokens are no square")
    return patches.view(side, side)


def _covered_px(inner: Any, grid: Tensor, side_px: int) -> tuple[int, int]:
    """The pixels that the map covers: patches may go beyond the picture's right and lower edge."""
    patch_px = getattr(getattr(inner, "patch_embed", None), "patch_size", None)
    if not isinstance(patch_px, tuple):
        return side_px, side_px
    height, width = (max(side_px, int(patch) * count) for patch, count in zip(patch_px, grid.shape, strict=True))
    return height, width
