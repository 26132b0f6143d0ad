"""SimCLR's memory: more to be apart from, first in first out, once a batch, part of the saved state."""

import math
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter

from raydr.build import build_method
from raydr.config.learning import ModelSettings
from raydr.config.methods import MethodSettings
from raydr.engine.accumulation import Passes, backward
from raydr.engine.batch import Batch
from raydr.engine.context import LocalContext
from raydr.engine.method import Method
from raydr.models.memory_network import MemoryNetwork

SIZE, WIDTH, TEMPERATURE = 20, 8, 0.3


def build(memory_size: int = SIZE, **settings: object) -> Method:
    torch.manual_seed(0)
    tree = {"hidden_dim": 16, "projection_dim": WIDTH, "temperature": TEMPERATURE, "memory_size": memory_size}
    found = TypeAdapter(MethodSettings).validate_python({"name": "simclr", **tree, **settings})
    return build_method(ModelSettings(backbone="test_resnet"), found, view, LocalContext(Path("unused")))


def view(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    noise = [torch.rand(image.shape[1:], generator=generator) for _ in image]
    return image.float() / 255 + 0.1 * torch.stack(noise)


def batch(seed: int = 1, count: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Batch(image, torch.arange(count), torch.full((count,), -1))


def literal_loss(views: torch.Tensor, memory: torch.Tensor) -> float:
    """Equation 1 of arXiv:2002.05709 with the memory's keys among the negatives, term by term."""

    def similarity(one: torch.Tensor, other: torch.Tensor) -> float:
        return float(one @ other / (one.norm() * other.norm())) / TEMPERATURE

    count, total = len(views) // 2, 0.0
    for i in range(2 * count):
        j = (i + count) % (2 * count)
        others = sum(math.exp(similarity(views[i], views[k])) for k in range(2 * count) if k != i)
        others += sum(math.exp(similarity(views[i], key)) for key in memory)
        total -= math.log(math.exp(similarity(views[i], views[j])) / others)
    return total / (2 * count)


def test_the_loss_has_the_memorys_keys_among_the_negatives_as_they_were_before_the_batch():
    method = build()
    before = method.network.keys.clone()
    outputs = method.step.outputs(batch(), torch.Generator().manual_seed(2))
    loss = method.step.loss(outputs, batch()).item()
    views = torch.cat(outputs[:2]).detach().double()
    assert loss == pytest.approx(literal_loss(views, before.double()), rel=1e-5)
    assert abs(loss - literal_loss(views, method.network.keys.double())) > 1e-3
    assert abs(loss - literal_loss(views, before.double()[:0])) > 0.1


def test_the_memory_holds_the_slow_copys_last_keys_first_in_first_out():
    method, seen = build(), []
    for number in range(3):
        outputs = method.step.outputs(batch(number), torch.Generator().manual_seed(number))
        method.step.loss(outputs, batch(number))
        method.step.advance((number + 1) / 3)
        seen.append(torch.cat(outputs[2:]))
    assert not seen[0].requires_grad
    assert torch.equal(method.network.keys, torch.cat(seen)[-SIZE:])


@pytest.mark.parametrize("size", [3, 20])
def test_more_keys_than_it_holds_leave_the_newest(size):
    memory = build(memory_size=size).network
    assert isinstance(memory, MemoryNetwork)
    memory.remember(torch.arange(50 * WIDTH).view(50, WIDTH).double())
    assert memory.keys[:, 0].tolist() == [WIDTH * row for row in range(50 - size, 50)]


@pytest.mark.pipeline
def test_in_pieces_it_takes_in_every_key_once():
    method = build()
    start = method.network.keys.clone()
    backward(method.step, batch(), torch.Generator().manual_seed(2), Passes(method.network, images_at_once=2))
    assert torch.equal(method.network.keys[: SIZE - 12], start[12:])
    assert not torch.isin(method.network.keys[SIZE - 12 :], start).any()


def test_the_slow_copy_follows_by_its_momentum_and_gets_no_gradient():
    method = build(memory_momentum=0.75)
    backward(method.step, batch(), torch.Generator().manual_seed(2), Passes(method.network))
    assert all(parameter.grad is None for parameter in method.network.target.parameters())
    with torch.no_grad():
        for parameter in method.encoder.parameters():
            parameter.add_(1)
    before = [parameter.clone() for parameter in method.network.target.parameters()]
    method.step.advance(0.5)
    for parameter, old in zip(method.network.target.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.data, old + 0.25)


def train(method: Method, numbers: range) -> list[float]:
    optimizer = torch.optim.SGD([p for p in method.network.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for number in numbers:
        optimizer.zero_grad()
        generator = torch.Generator().manual_seed(number)
        losses.append(backward(method.step, batch(number), generator, Passes(method.network)).item())
        optimizer.step()
        method.step.advance((number + 1) / 4)
    return losses


@pytest.mark.pipeline
def test_a_state_taken_up_again_goes_on_alike():
    whole, first, second = build(), build(), build()
    losses = train(whole, range(4))
    train(first, range(2))
    torch.nn.init.ones_(second.network.keys)
    second.network.load_state_dict(first.network.state_dict())
    assert train(second, range(2, 4)) == losses[2:]
    assert torch.equal(second.network.keys, whole.network.keys)


def test_without_a_memory_there_is_neither_copy_nor_buffer():
    method = build(memory_size=0)
    assert method.network is method.encoder
    assert len(method.step.outputs(batch(), torch.Generator().manual_seed(2))) == 2
