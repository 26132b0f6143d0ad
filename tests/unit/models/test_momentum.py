"""The target follows the online network and nothing else moves it."""

import pytest
import torch
from torch import nn

from raydr.models.backbone import create_backbone
from raydr.models.embedding import EmbeddingNetwork
from raydr.models.heads import PerceptronHead
from raydr.models.momentum import MomentumNetwork


@pytest.fixture
def network() -> MomentumNetwork:
    torch.manual_seed(0)
    backbone = create_backbone("test_resnet")
    embedding = EmbeddingNetwork(backbone, PerceptronHead(backbone.num_features, 8, 4))
    return MomentumNetwork(embedding, PerceptronHead(4, 8, 4))


def images(seed: int = 0) -> torch.Tensor:
    return torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def shift(network: MomentumNetwork) -> None:
    """Move the online network by 1 everywhere."""
    with torch.no_grad():
        for parameter in network.online.parameters():
            parameter.add_(1)


def test_the_target_starts_as_the_online_network_and_gets_no_gradient(network):
    online = network.online.embedding.state_dict()
    for name, value in network.target.state_dict().items():
        assert torch.equal(value, online[name])
        assert value.data_ptr() != online[name].data_ptr()
    first, second = network.online(images(), images(1))
    (first.sum() + second.square().sum() + network.target(images()).sum().detach()).backward()
    assert all(parameter.grad is None for parameter in network.target.parameters())
    assert all(parameter.grad is not None for parameter in network.online.parameters())


@pytest.mark.parametrize(("momentum", "share"), [(0.9, 0.1), (0.25, 0.75), (1.0, 0.0), (0.0, 1.0)])
def test_parameters_follow_by_their_share_and_batch_statistics_stay_its_own(network, momentum, share):
    before = {name: value.clone() for name, value in network.target.state_dict().items()}
    network.online(images())  # gathers running statistics of the online network
    shift(network)
    network.follow(momentum)
    after, parameters = network.target.state_dict(), dict(network.target.named_parameters())
    for name, value in before.items():
        expected = value + share if name in parameters else value
        torch.testing.assert_close(after[name], expected, msg=name)


def test_its_own_passes_gather_its_own_statistics(network):
    network.online(images())
    norm = next(layer for layer in network.target.modules() if isinstance(layer, nn.BatchNorm2d))
    assert norm.num_batches_tracked == 0
    network.target(images())
    assert norm.num_batches_tracked == 1
    assert norm.running_mean.abs().max() > 0


def test_each_set_of_views_has_batch_statistics_of_its_own(network):
    together = network.online(images(), images(1))
    torch.testing.assert_close(together[0], network.online(images())[0])
    joined = network.online(torch.cat([images(), images(1)]))[0]
    assert not torch.allclose(together[0], joined[:6], atol=1e-3)


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_a_momentum_outside_0_and_1_is_refused(network, momentum):
    with pytest.raises(ValueError, match="must be in"):
        network.follow(momentum)
