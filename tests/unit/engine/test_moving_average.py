"""The moving average of weights is the literal one, and can be put into the network and out again."""

import pytest
import torch

from raydr.engine.moving_average import MovingAverage


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def train(net: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn(parameter.shape))
        net(torch.randn(5, 3))


def test_the_average_is_the_literal_one_with_its_warm_up():
    net = network()
    average = MovingAverage(net, 0.5)
    literal = {name: tensor.clone().double() for name, tensor in net.state_dict().items()}
    for update in range(12):
        train(net)
        average.follow()
        decay = min(0.5, (1 + update) / (10 + update))  # 0.5 from the ninth on
        for name, tensor in net.state_dict().items():
            literal[name] = decay * literal[name] + (1 - decay) * tensor.double()
    literal["1.num_batches_tracked"] = torch.tensor(12.0, dtype=torch.double)
    own = weights_of(net)
    with average.put_in():
        found = weights_of(net)
    for name, tensor in literal.items():
        torch.testing.assert_close(found[name].double(), tensor)
    assert all(torch.equal(tensor, own[name]) for name, tensor in weights_of(net).items())
    assert not torch.allclose(found["0.weight"], own["0.weight"])
    average.keep()
    assert torch.equal(net.state_dict()["0.weight"], found["0.weight"])


def weights_of(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_a_decay_that_averages_nothing_is_refused(decay):
    with pytest.raises(ValueError, match="must be above 0 and below 1"):
        MovingAverage(network(), decay)
