"""MAE's network: only visible patches are seen, each stands in its place, and other networks are refused."""

import pytest
import torch

from raydr.errors import InputError
from raydr.models.backbone import create_backbone
from raydr.models.masked_autoencoder import MaskedAutoencoder


@pytest.fixture(scope="module")
def network() -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(create_backbone("test_vit"), decoder_dim=64, decoder_depth=1).eval()


def orders(count: int, num_patches: int) -> torch.Tensor:
    return torch.stack([torch.randperm(num_patches, generator=torch.Generator().manual_seed(n)) for n in range(count)])


def picture(count: int = 2, side: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def painted(image: torch.Tensor, patch: int) -> torch.Tensor:
    """The image with another 16-pixel patch in that place of a row of four."""
    row, column = 16 * (patch // 4), 16 * (patch % 4)
    other = image.clone()
    other[..., row : row + 16, column : column + 16] = 1 - other[..., row : row + 16, column : column + 16]
    return other


def test_what_is_hidden_has_no_influence_and_what_is_visible_has(network):
    image, order = picture(1), orders(1, 16)
    with torch.no_grad():
        told = network(image, order, 4)
        for number in range(16):
            changed = network(painted(image, int(order[0, number])), order, 4)
            assert torch.equal(told, changed) == (number >= 4)


def test_the_order_of_the_visible_patches_does_not_matter(network):
    """So each one's place in the picture goes with it, into the encoder and into the decoder."""
    image, order = picture(), orders(2, 16)
    other = order.clone()
    other[:, :4], other[:, 4:] = order[:, :4].flip(1), order[:, 4:].flip(1)
    with torch.no_grad():
        torch.testing.assert_close(network(image, other, 4), network(image, order, 4), atol=1e-5, rtol=1e-4)


def test_all_patches_visible_the_encoder_is_the_backbone(network):
    image, order, seen = picture(), torch.arange(16).repeat(2, 1), []
    handle = network.to_decoder.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(image, order, 16)
        handle.remove()
        torch.testing.assert_close(seen[0][:, 0], network.backbone(image), atol=1e-5, rtol=1e-4)


def test_sides_that_are_no_whole_number_of_patches_are_padded(network):
    image = picture(side=50)
    assert network.num_patches(50) == 16
    assert network.padded(image).shape == (2, 3, 64, 64)
    assert network.padded(image)[..., 50:].max() == 0
    assert network(image, orders(2, 16), 4).shape == (2, 16, 768)


@pytest.mark.parametrize("name", ["test_resnet", "vit_tiny_r_s16_p8_224", "test_vit2", "test_vit3"])
def test_a_backbone_that_cannot_leave_patches_out_is_refused_by_its_key(name):
    with pytest.raises(InputError, match=r"model\.backbone: .*no plain vision transformer"):
        MaskedAutoencoder(create_backbone(name), decoder_dim=64, decoder_depth=1)
