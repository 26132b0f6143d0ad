"""A heat map is what the last features contribute, in the picture's own pixels, for networks of every build."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from raydr.engine.heatmap import heat_map, overlay
from raydr.errors import InputError
from raydr.images.jpeg import decode
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def classifier(name, num_outputs, scale=1.0):
    torch.manual_seed(0)
    network = Classifier(create_backbone(name), num_outputs).eval()
    with torch.no_grad():
        network.head.weight.mul_(scale)
    return network


def as_heat(grid, covered_px, side_px):
    """A grid of contributions as a map, by OpenCV."""
    wide = cv2.resize(np.maximum(grid, 0), (covered_px, covered_px), interpolation=cv2.INTER_LINEAR)
    return wide[:side_px, :side_px] / wide[:side_px, :side_px].max()


def odds_by_hand(logits):
    probability = logits.sigmoid()[0, 0] if logits.shape[1] == 1 else logits.softmax(dim=1)[0, 2:].sum()
    return (probability / (1 - probability)).log()


@pytest.mark.parametrize("num_outputs", [1, 5])
def test_behind_mean_pooling_it_is_the_class_activation_map(num_outputs):
    network, image = classifier("test_resnet", num_outputs), torch.rand(3, 128, 128)
    with torch.no_grad():
        features = network.backbone.network.forward_features(network.backbone.normalised(image[None]))
    pooled = features.mean(dim=(2, 3)).requires_grad_()
    (weight,) = torch.autograd.grad(odds_by_hand(network.head(pooled)), pooled)
    activation = torch.einsum("c,chw->hw", weight[0], features[0])  # arXiv:1512.04150, eq. 2
    expected = as_heat(activation.numpy(), 128, 128)
    assert np.ptp(expected) > 0.3  # the comparison could fail
    np.testing.assert_allclose(heat_map(network, image), expected, atol=1e-4)


def attended(block, tokens):
    """A transformer block written out: its tokens and its attention [1, heads, N, N]."""
    attention = block.attn
    query, key, value = (
        part.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)
        for part in attention.qkv(block.norm1(tokens)).chunk(3, dim=2)
    )
    weights = (query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(dim=3)
    tokens = tokens + attention.proj((weights @ value).transpose(1, 2).flatten(2))
    return tokens + block.mlp(block.norm2(tokens)), weights


@pytest.mark.parametrize("pool", ["token", "avg"])
@pytest.mark.parametrize("side_px", [80, 72])  # whole patches of 16 px, and patches beyond the edge
def test_a_transformers_is_what_attention_hands_on_weighed_by_its_gradient(side_px, pool):
    network, image = classifier("test_vit", 1), torch.rand(3, side_px, side_px)
    inner = network.backbone.network
    inner.global_pool = pool
    tokens, weights = inner._pos_embed(inner.patch_embed(network.backbone.normalised(image[None]))), []
    for block in inner.blocks:
        tokens, found = attended(block, tokens)
        weights.append(found)
    logit = network.head(inner.forward_head(inner.norm(tokens)))[0, 0]
    relevance = torch.eye(26)
    for found, gradient in zip(weights, torch.autograd.grad(logit, weights), strict=True):
        relevance = relevance + (gradient * found)[0].clamp(min=0).mean(dim=0) @ relevance  # arXiv:2103.15679, 5 and 6
    rows = relevance[:1] if pool == "token" else (relevance - torch.eye(26))[1:]
    grid = rows.mean(dim=0)[1:].detach().view(5, 5).numpy()
    expected = as_heat(grid, 80, side_px)
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(heat_map(network, image), expected, atol=1e-4)
    assert all(block.attn.fused_attn for block in inner.blocks)  # as before


def test_a_network_that_is_sure_has_the_same_map():
    image = torch.rand(3, 64, 64)
    calm, sure = (heat_map(classifier("test_resnet", 1, scale), image) for scale in (1.0, 1e5))
    assert calm.max() == 1
    np.testing.assert_allclose(sure, calm, atol=1e-3)


@pytest.mark.parametrize(
    "name",
    ["resnet10t", "mobilenetv3_small_050", "convnext_atto", "swin_tiny_patch4_window7_224", "eva02_tiny_patch14_224"],
)
def test_every_family_has_one_in_its_range_and_in_the_pictures_size(name):
    networks = [classifier(name, 1, scale) for scale in (1.0, -1.0)]
    with torch.inference_mode():  # as a scorer may call it
        heats = [heat_map(network, torch.rand(3, 96, 96)) for network in networks]
    for heat in heats:
        assert heat.shape == (96, 96)
        assert heat.dtype == np.float32
        assert heat.min() >= 0
    assert max(heat.max() for heat in heats) == 1  # an untrained network may see nothing, but then its opposite does
    assert max(np.ptp(heat) for heat in heats) > 0.05


def test_where_nothing_speaks_for_disease_the_map_is_empty_and_the_network_is_left_as_it_was():
    network = classifier("test_resnet", 1, scale=0.0)
    network.requires_grad_(requires_grad=False)
    assert not heat_map(network, torch.rand(3, 64, 64)).any()
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("name", ["xcit_nano_12_p16_224", "cait_xxs24_224"])
def test_a_class_token_whose_attention_is_unknown_is_an_error_that_names_the_network(name):
    with pytest.raises(InputError, match=f"{name}: has no heat map"):
        heat_map(classifier(name, 1), torch.rand(3, 96, 96))


def test_tokens_that_are_no_square_are_an_error_that_names_the_network():
    class Odd(nn.Module):
        num_features = 7

        def forward_features(self, image):
            return image.mean(dim=(1, 2, 3)).view(-1, 1, 1).expand(-1, 6, 7)

        def forward_head(self, features):
            return features.mean(dim=1)

    network = classifier("test_resnet", 1)
    network.backbone.network, network.backbone.name, network.head = Odd(), "odd", nn.Linear(7, 1)
    with pytest.raises(InputError, match="odd: has no heat map: its 6 tokens"):
        heat_map(network, torch.rand(3, 64, 64))


def test_the_overlay_leaves_what_says_nothing_and_colours_what_does():
    picture = np.full((64, 64, 3), (150, 70, 30), dtype=np.uint8)
    heat = np.zeros((64, 64), dtype=np.float32)
    heat[16:32, 32:48] = 1.0
    shown = decode(overlay(picture, heat), min_side_px=64).astype(int)
    change = np.abs(shown - picture).sum(axis=2)
    assert shown.shape == picture.shape
    assert change[20:28, 36:44].min() > 100
    assert change[40:, :].max() < 10


def spots(count, side_px, num_cells, generator):
    """Noise, in half of the pictures with a bright spot in one of so many by so many cells: pictures, labels, cells."""
    pictures = 0.3 + 0.1 * torch.rand(count, 3, side_px, side_px, generator=generator)
    cell_px = side_px // num_cells
    cells = torch.randint(num_cells, (count, 2), generator=generator)
    labels = torch.arange(count) % 2
    for picture, (row, column), label in zip(pictures, cells.tolist(), labels, strict=True):
        if label:
            y, x = row * cell_px + cell_px // 4, column * cell_px + cell_px // 4
            picture[:, y : y + cell_px // 2, x : x + cell_px // 2] += 0.5
    return pictures, labels.float(), cells


@pytest.mark.pipeline  # it learns for seconds
@pytest.mark.parametrize(("name", "num_cells"), [("test_resnet", 2), ("test_vit", 4)])
def test_the_map_of_a_network_that_has_learnt_to_see_a_spot_peaks_at_the_spot(name, num_cells):
    side_px, network = 64, classifier(name, 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(80):
        pictures, labels, _ = spots(8, side_px, num_cells, generator)
        loss = F.binary_cross_entropy_with_logits(network.train()(pictures)[:, 0], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    pictures, labels, cells = spots(24, side_px, num_cells, generator)
    with torch.no_grad():
        assert ((network(pictures)[:, 0] > 0) == labels.bool()).float().mean() > 0.9
    is_hit = []
    for picture, cell in zip(pictures[1::2], cells[1::2], strict=True):
        peak = np.unravel_index(heat_map(network, picture).argmax(), (side_px, side_px))
        is_hit.append(np.abs(np.array(peak) / (side_px // num_cells) - (cell.numpy() + 0.5)).max() <= 0.75)
    assert np.mean(is_hit) > 0.8
