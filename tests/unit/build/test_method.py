"""A method is built as its settings say: what is trained, what is saved, what is kept of it."""

from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from raydr.build import build_method, build_optimizer
from raydr.config.learning import ModelSettings, OptimSettings
from raydr.config.methods import MethodSettings
from raydr.engine.accumulation import Passes, backward
from raydr.engine.batch import Batch
from raydr.engine.context import LocalContext
from raydr.engine.method import Method
from raydr.errors import InputError

MOMENTUM_METHODS = ["byol", "moco_v3"]


def build(name: str, backbone: str = "test_resnet", **settings: object) -> Method:
    torch.manual_seed(0)
    tree = {"name": name, "hidden_dim": 16, "projection_dim": 8, **settings}
    found = TypeAdapter(MethodSettings).validate_python(tree)
    return build_method(ModelSettings(backbone=backbone), found, view, LocalContext(Path("unused")))


def view(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return image.float() / 255 + 0.1 * torch.rand(image.shape, generator=generator)


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def batch() -> Batch:
    image = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return Batch(image, torch.arange(6), torch.full((6,), -1))


@pytest.mark.parametrize("name", MOMENTUM_METHODS)
def test_the_state_holds_the_target_which_no_optimiser_moves_and_the_encoder_is_the_online_network(name):
    method = build(name)
    state = method.network.state_dict()
    assert {key.split(".")[0] for key in state} == {"online", "target"}
    assert state["target.backbone.mean"] is not None
    assert method.encoder is method.network.online.embedding
    optimised = {
        id(p) for group in build_optimizer(OptimSettings(), method.network).param_groups for p in group["params"]
    }
    assert not optimised & {id(p) for p in method.network.target.parameters()}
    assert {id(p) for p in method.network.online.parameters()} <= optimised


@pytest.mark.parametrize("name", MOMENTUM_METHODS)
def test_the_target_follows_by_the_schedules_share_when_the_step_advances(name):
    method = build(name, momentum=0.5)
    with torch.no_grad():
        for p in method.network.online.parameters():
            p.add_(1)
    start = weights(method.network.target)
    method.step.advance(0.5)  # half-way from 0.5 to 1
    torch.testing.assert_close(weights(method.network.target), start + 0.25)
    before = weights(method.network.target)
    method.step.advance(1.0)
    assert torch.equal(weights(method.network.target), before)


@pytest.mark.parametrize("batch_norm", ["local", "synced", "shuffled"])
def test_with_one_worker_all_batch_statistics_are_the_same(batch_norm):
    losses = []
    for chosen in ("local", batch_norm):
        method = build("moco_v3", batch_norm=chosen)
        losses.append(backward(method.step, batch(), torch.Generator().manual_seed(2), Passes(method.network)).item())
    assert losses[0] == losses[1]


@pytest.mark.parametrize(("predictor_norm", "last"), [(False, nn.Linear), (True, nn.BatchNorm1d)])
def test_moco_v3_has_the_heads_of_its_authors(predictor_norm, last):
    method = build("moco_v3", predictor_norm=predictor_norm, projection_layers=3)
    projector, predictor = method.encoder.projector.layers, method.network.online.predictor.layers
    assert sum(isinstance(layer, nn.Linear) for layer in projector) == 3
    assert isinstance(projector[-1], nn.BatchNorm1d)
    assert not projector[-1].affine
    assert sum(isinstance(layer, nn.Linear) for layer in predictor) == 2
    assert isinstance(predictor[-1], last)


def test_byols_heads_end_without_normalisation():
    method = build("byol")
    for head in (method.encoder.projector, method.network.online.predictor):
        assert [type(layer) for layer in head.layers] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]


def test_frozen_patches_are_not_trained_and_everything_else_is():
    method = build("moco_v3", backbone="test_vit", freeze_patches=True)
    backward(method.step, batch(), torch.Generator().manual_seed(2), Passes(method.network))
    online = dict(method.network.online.named_parameters())
    patches = {name for name in online if "patch_embed" in name}
    assert patches
    assert {name for name, p in online.items() if p.grad is None} == patches


def test_freezing_patches_that_a_network_does_not_have_is_refused():
    with pytest.raises(InputError, match=r"method\.freeze_patches: 'test_resnet' has no patch embedding"):
        build("moco_v3", freeze_patches=True)
