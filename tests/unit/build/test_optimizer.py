"""The optimiser: who is decayed, which rate is the peak, what LARS does to a step."""

import pytest
import torch

from raydr.build import build_optimizer
from raydr.config.learning import OptimSettings


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_biases_and_normalisation_are_not_decayed_and_nothing_is_left_out(name):
    trained = network()
    trained[0].weight.requires_grad = False
    optimizer = build_optimizer(OptimSettings(name=name, weight_decay=0.1), trained)
    decayed, others = (group["params"] for group in optimizer.param_groups)
    assert [p.ndim for p in decayed] == [2]
    assert {id(p) for p in decayed + others} == {id(p) for p in trained.parameters() if p.requires_grad}
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]


@pytest.mark.parametrize(("scale", "peak"), [("none", 0.3), ("linear", 4.8), ("sqrt", 1.2)])
def test_the_rate_is_for_256_images_where_it_is_scaled(scale, peak):
    settings = OptimSettings(learning_rate=0.3, scale_learning_rate=scale, batch_size=4096)
    for group in build_optimizer(settings, network()).param_groups:
        assert group["peak_lr"] == pytest.approx(peak)


@pytest.mark.parametrize("weight_decay", [0.0, 1e-6])
def test_lars_moves_a_layer_by_a_share_of_its_weights_whatever_its_gradient(weight_decay):
    """Equation 6 of arXiv:1708.03888 with eta = 0.001; a decay of none is no plain SGD."""
    settings = OptimSettings(name="lars", learning_rate=1.0, weight_decay=weight_decay)
    moved = {}
    for factor in (1.0, 1000.0):
        trained = network()
        optimizer = build_optimizer(settings, trained)
        weight, bias = trained[0].weight, trained[0].bias
        before, bias_before = weight.detach().clone(), bias.detach().clone()
        for parameter in trained.parameters():
            parameter.grad = torch.full_like(parameter, factor)
        optimizer.step()
        moved[factor] = float((before - weight.detach()).norm() / before.norm())
        torch.testing.assert_close(bias_before - bias.detach(), torch.full_like(bias_before, factor))
    assert moved[1.0] == pytest.approx(0.001, rel=1e-3)
    assert moved[1000.0] == pytest.approx(moved[1.0], rel=1e-3)
