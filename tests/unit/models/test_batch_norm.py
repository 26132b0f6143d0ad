"""Synchronised batch normalisation: torch's own numbers with one worker, the network's names and parts kept."""

import copy

import pytest
import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from raydr.models.batch_norm import SyncedBatchNorm, synced

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = timm.create_model(name, num_classes=3)
    for layer in made.modules():
        if isinstance(layer, _BatchNorm):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return made


def images() -> torch.Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])  # the second holds its activations within
def test_with_one_worker_it_is_torchs_in_output_gradient_state_and_evaluation(name):
    plain = network(name)
    replaced = synced(copy.deepcopy(plain), nn.Identity(), CPU)
    kinds = [type(layer) for layer in replaced.modules() if isinstance(layer, _BatchNorm)]
    assert kinds
    assert set(kinds) == {SyncedBatchNorm}
    for made in (plain, replaced):
        made.train()(images()).square().sum().backward()
    torch.testing.assert_close(replaced.state_dict(), plain.state_dict(), rtol=1e-4, atol=1e-4)
    one, other = (torch.cat([p.grad.flatten() for p in made.parameters()]) for made in (replaced, plain))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))
    torch.testing.assert_close(replaced.eval()(images()), plain.eval()(images()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("device", [CPU, CUDA], ids=str)
@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_parameters_stay_the_same_objects_under_the_same_names(name, device):
    plain = network(name)
    before = dict(plain.named_parameters())
    keys = list(plain.state_dict())
    frozen = next(key for key in before if key.endswith("bias"))
    before[frozen].requires_grad = False
    replaced = synced(plain, nn.Identity(), device)
    assert list(replaced.state_dict()) == keys
    after = dict(replaced.named_parameters())
    assert all(after[key] is value for key, value in before.items())
    assert not after[frozen].requires_grad


def test_on_cuda_it_is_torchs_own_and_keeps_activations():
    replaced = synced(network("test_efficientnet"), nn.Identity(), CUDA)
    norms = [layer for layer in replaced.modules() if isinstance(layer, _BatchNorm)]
    assert norms
    assert all(isinstance(layer, nn.SyncBatchNorm) for layer in norms)
    assert any(isinstance(child, nn.SiLU | nn.ReLU) for layer in norms for child in layer.children())


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_are_left_alone_where_they_are_not_tracked(momentum):
    plain = nn.BatchNorm1d(3, momentum=momentum)
    replaced = synced(copy.deepcopy(plain), nn.Identity(), CPU)
    values = torch.randn(5, 3) * 3 + 2
    replaced.track_running_stats = False  # as gradient accumulation does in its first pass
    replaced(values)
    assert torch.equal(replaced.running_mean, torch.zeros(3))
    replaced.track_running_stats = True
    for part in (values, values * 2):
        torch.testing.assert_close(replaced(part), plain(part))
    torch.testing.assert_close(replaced.state_dict(), plain.state_dict())


def test_half_precision_values_are_reckoned_with_in_single_precision():
    replaced = synced(nn.BatchNorm1d(2), nn.Identity(), CPU)
    found = replaced((torch.arange(8.0).view(4, 2) + 100).bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float().var(dim=0, correction=0), torch.ones(2), atol=0.02, rtol=0)


def test_values_without_channels_are_refused():
    with pytest.raises(ValueError, match=r"\[B, C"):
        synced(nn.BatchNorm1d(2), nn.Identity(), CPU)(torch.ones(4))
