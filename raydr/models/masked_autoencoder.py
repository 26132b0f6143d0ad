"""A vision transformer that sees a quarter of a picture, and a small decoder that tells the rest."""

from math import ceil
from typing import Final

import torch
import torch.nn.functional as F
from timm.layers.patch_embed import PatchEmbed
from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from raydr.errors import InputError
from raydr.models.backbone import Backbone, create_backbone

_HEAD_WIDTH: Final = 32  # of the authors' decoder: 512 in 16 heads
_CHANNELS: Final = 3


class MaskedAutoencoder(nn.Module):
    """MAE (arXiv:2111.06377, section 3) around a backbone, which must be a plain vision transformer of timm.

    The encoder runs on the visible patches alone. The decoder gets them back in their places, a learnt token in all
    others, fixed sine positions, and tells every patch's pixels.
    """

    def __init__(self, backbone: Backbone, *, decoder_dim: int, decoder_depth: int) -> None:
        super().__init__()
        vit = _transformer(backbone)
        self.backbone = backbone
        self.patch_px = int(vit.patch_embed.patch_size[0])
        self.to_decoder = nn.Linear(vit.embed_dim, decoder_dim)
        self.hidden_token = nn.Parameter(torch.zeros(1, 1, decoder_dim))
        nn.init.normal_(self.hidden_token, std=0.02)
        self.blocks = nn.Sequential(
            *(Block(decoder_dim, decoder_dim // _HEAD_WIDTH, qkv_bias=True) for _ in range(decoder_depth))
        )
        self.norm = nn.LayerNorm(decoder_dim)
        self.to_pixels = nn.Linear(decoder_dim, self.patch_px**2 * _CHANNELS)

    def padded(self, image: Tensor) -> Tensor:
        """Images [B, 3, S, S] with black to the right and below, up to whole patches."""
        margin = -image.shape[-1] % self.patch_px
        return F.pad(image, (0, margin, 0, margin))

    def num_patches(self, side_px: int) -> int:
        """Patches of a picture of that side, padded."""
        return ceil(side_px / self.patch_px) ** 2

    def forward(self, image: Tensor, order: Tensor, num_visible: int) -> Tensor:
        """Pixels told of all patches, [B, N, P^2 * 3], from the ``num_visible`` first ones of ``order``.

        Images are [B, 3, S, S] in [0, 1], ``order`` int64 [B, N] is a permutation of the patches for each.
        """
        vit, backbone = _transformer(self.backbone), self.backbone
        # With the class token among the places, and resampled to a picture of another size: no public name does that.
        tokens = vit._pos_embed(vit.patch_embed((self.padded(image) - backbone.mean) / backbone.std))  # noqa: SLF001
        before, tokens = tokens[:, : vit.num_prefix_tokens], tokens[:, vit.num_prefix_tokens :]
        visible = tokens.gather(1, _wide(order[:, :num_visible], tokens.shape[2]))
        code = self.to_decoder(vit.norm(vit.blocks(vit.norm_pre(torch.cat([before, visible], dim=1)))))
        before, code = code[:, : vit.num_prefix_tokens], code[:, vit.num_prefix_tokens :]
        hidden = self.hidden_token.to(code).expand(len(code), order.shape[1] - num_visible, -1)
        width = code.shape[2]
        places = _wide(order.argsort(dim=1), width)
        tokens = torch.cat([code, hidden], dim=1).gather(1, places) + _positions(order.shape[1], width, code)
        tokens = self.norm(self.blocks(torch.cat([before, tokens], dim=1)))
        told: Tensor = self.to_pixels(tokens[:, vit.num_prefix_tokens :])
        return told


def check_transformer(name: str, key: str = "model.backbone") -> None:
    """Raise InputError, naming the ``key``, where the timm model ``name`` cannot leave patches out."""
    with torch.device("meta"):  # no weights are made for it
        _transformer(create_backbone(name), key)


def _transformer(backbone: Backbone, key: str = "model.backbone") -> VisionTransformer:
    vit = backbone.network
    # Weights that only pooling uses would get no gradient, over which DDP stumbles.
    if (
        isinstance(vit, VisionTransformer)
        and type(vit.patch_embed) is PatchEmbed
        and not [part for part in (vit.attn_pool, vit.fc_norm) if isinstance(part, nn.Module) and part.state_dict()]
    ):
        return vit
    raise InputError(
        f"{key}: {backbone.name!r} is no plain vision transformer; method 'mae' hides patches and "
        "needs one, as vit_small_patch16_224 is"
    )


def _wide(index: Tensor, width: int) -> Tensor:
    return index[:, :, None].expand(-1, -1, width)


def _positions(num_patches: int, width: int, like: Tensor) -> Tensor:
    side = round(num_patches**0.5)
    return build_sincos2d_pos_embed([side, side], width, device=like.device).to(like)[None]
