"""Backbones of timm: their width, their own normalisation, pictures of any size, and names that do not exist."""

import pytest
import timm
import torch

from raydr.errors import InputError, RunError
from raydr.models.backbone import create_backbone

NORMALISES_OTHERWISE = "vit_tiny_patch16_224"  # mean and std 0.5, where most networks have ImageNet's


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "name",
    ["resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224", "eva02_tiny_patch14_224", "convnext_atto"],
)
def test_gives_its_features_for_pictures_of_another_size(name):
    backbone = create_backbone(name).eval()
    with torch.no_grad():
        features = backbone(torch.rand(2, 3, 96, 96))
    assert features.shape == (2, backbone.num_features)
    assert backbone.name == name


def test_a_windowed_transformer_takes_other_sizes_too():
    backbone = create_backbone("swin_tiny_patch4_window7_224").eval()
    with torch.no_grad():
        assert backbone(torch.rand(1, 3, 96, 96)).shape == (1, backbone.num_features)


@pytest.mark.parametrize("name", ["resnet10t", NORMALISES_OTHERWISE])
def test_normalises_inside_with_the_networks_own_mean_and_std(name):
    backbone = create_backbone(name).eval()
    image = torch.rand(1, 3, 64, 64)
    published = timm.get_pretrained_cfg(name)
    mean, std = torch.tensor(published.mean), torch.tensor(published.std)
    with torch.no_grad():
        expected = backbone.network((image - mean[:, None, None]) / std[:, None, None])
        torch.testing.assert_close(backbone(image), expected)


def test_a_saved_backbone_carries_its_normalisation():
    state = create_backbone(NORMALISES_OTHERWISE).state_dict()
    torch.testing.assert_close(state["mean"].flatten(), torch.full((3,), 0.5))
    torch.testing.assert_close(state["std"].flatten(), torch.full((3,), 0.5))


def test_an_unknown_name_is_refused_with_its_neighbours():
    with pytest.raises(InputError, match=r"'resnet81'.*resnet18"):
        create_backbone("resnet81")
    with pytest.raises(InputError, match="near it are"):
        create_backbone("!")


def test_weights_that_nobody_published_are_refused():
    with pytest.raises(InputError, match="publishes no weights"):
        create_backbone("resnet18.no_such_weights", weights="timm")


def test_weights_that_cannot_be_fetched_are_one_line(monkeypatch):
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(RunError, match=r"cannot be fetched: no route to host"):
        create_backbone("resnet18", weights="timm")


def test_laid_out_channels_last_it_gives_the_same_features():
    torch.manual_seed(0)
    backbone = create_backbone("resnet10t").eval()
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        before = backbone(image)
        backbone.lay_channels_last()
        torch.testing.assert_close(backbone(image), before, rtol=1e-4, atol=1e-4)
    assert backbone.network.conv1[0].weight.is_contiguous(memory_format=torch.channels_last)
