"""DINO's step: the paper's algorithm, exact in pieces, its centre moves once a batch, its state holds all it needs."""

import copy
import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from raydr.engine.accumulation import Passes, backward
from raydr.engine.batch import Batch
from raydr.engine.steps.dino import DinoPace, DinoStep
from raydr.losses.dino import centred_targets, cross_view_loss
from raydr.models.backbone import Backbone
from raydr.models.dino_head import DinoHead
from raydr.models.dino_network import DinoNetwork
from raydr.models.multi_crop import MultiCrop

PACE = DinoPace(
    momentum=0.5, first_teacher_temperature=0.04, teacher_temperature=0.08, warmup_fraction=0.5, frozen_fraction=0.25
)


class Pooled(nn.Module):
    """Features of pictures of any size."""

    num_features = 12

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(48, 12)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.linear(nn.functional.adaptive_avg_pool2d(image, 4).flatten(1)).tanh()


def view_of(size: int, strength: float):
    """A view whose randomness is drawn image by image, so that pieces draw the same."""

    def view(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        noise = torch.stack([torch.randn(image.shape[1:], generator=generator) for _ in image])
        return (image / 255 + strength * noise)[..., :size, :size]

    return view


def step_of(*, prototype_rate: float = 1.0, num_local_views: int = 2) -> DinoStep:
    torch.manual_seed(0)
    backbone = Backbone(Pooled(), name="pooled", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    head = DinoHead(12, 16, 6, 10, prototype_rate=prototype_rate)
    network = DinoNetwork(backbone, head, teacher_temperature=0.04)
    network.centre.copy_(torch.linspace(-0.1, 0.1, 10))
    return DinoStep(
        network=network,
        project=MultiCrop(network.online.embedding),
        view=view_of(8, 0.3),
        local_view=view_of(4, 0.3),
        num_local_views=num_local_views,
        gather=lambda local: local,
        student_temperature=0.1,
        centre_momentum=0.9,
        pace=PACE,
    )


def batch_of(count: int = 7) -> Batch:
    image = torch.randint(0, 256, (count, 3, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return Batch(image, torch.arange(count), torch.full((count,), -1))


def run(step: DinoStep, images_at_once: int | None) -> tuple[float, torch.Tensor]:
    step.network.zero_grad()
    passes = Passes(step.network, images_at_once=images_at_once)
    loss = backward(step, batch_of(), torch.Generator().manual_seed(3), passes)
    return float(loss), torch.cat([p.grad.flatten() for p in step.network.parameters() if p.grad is not None])


@pytest.mark.parametrize("pieces_of", [1, 3])
def test_pieces_have_the_whole_batchs_gradient_and_move_the_centre_once(pieces_of):
    """Views are drawn a piece at a time, so the whole batch's are put together from the pieces' for the comparison."""
    whole, pieces = step_of(num_local_views=1), step_of(num_local_views=1)
    start = whole.network.centre.clone()
    loss, gradient = run(pieces, pieces_of)
    generator, parts = torch.Generator().manual_seed(3), batch_of().pieces(pieces_of)
    student, teacher = (torch.cat(p) for p in zip(*(whole.outputs(part, generator) for part in parts), strict=True))
    whole.network.zero_grad()
    expected = whole.loss((student, teacher), batch_of())
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    found = torch.cat([p.grad.flatten() for p in whole.network.parameters() if p.grad is not None])
    torch.testing.assert_close(gradient, found, rtol=1e-4, atol=1e-6)
    once = 0.9 * start + 0.1 * teacher.mean(dim=(0, 1))
    torch.testing.assert_close(pieces.network.centre, once)
    assert (once - start).abs().max() > 1e-3


class LiteralHead(nn.Module):
    """The authors' head: a weight-normalised last layer with lengths fixed at 1 after a bottleneck of unit length."""

    def __init__(self, head: DinoHead) -> None:
        super().__init__()
        self.mlp = copy.deepcopy(head.layers)
        self.last = weight_norm(nn.Linear(head.prototypes.shape[1], len(head.prototypes), bias=False))
        self.last.parametrizations.weight.original0.data.fill_(1.0)
        self.last.parametrizations.weight.original0.requires_grad_(requires_grad=False)
        self.last.parametrizations.weight.original1.data.copy_(head.prototypes.data)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.last(F.normalize(self.mlp(features), dim=-1, p=2))


def literal_run(network: DinoNetwork, num_steps: int) -> tuple[list[float], nn.Module, torch.Tensor]:
    """Algorithm 1 of arXiv:2104.14294 with several crops (eq. 3): losses, teacher and centre after some steps."""
    student = nn.Sequential(
        copy.deepcopy(network.online.embedding.backbone), LiteralHead(network.online.embedding.projector)
    )
    teacher = copy.deepcopy(student)
    C, tps, m, losses = network.centre.clone(), 0.1, 0.9, []  # noqa: N806  # the paper's names
    sgd = torch.optim.SGD([p for p in student.parameters() if p.requires_grad], lr=0.1)
    for number in range(num_steps):
        tpt = 0.04 + (0.08 - 0.04) * min(number / num_steps / 0.5, 1)
        generator, image = torch.Generator().manual_seed(number), batch_of().image
        x = [view_of(8, 0.3)(image, generator) for _ in range(2)] + [view_of(4, 0.3)(image, generator) for _ in "ab"]
        s, t = [student(crop) for crop in x], [teacher(crop).detach() for crop in x[:2]]
        pairs = [(i, j) for i, j in itertools.product(range(2), range(4)) if i != j]
        loss = 0
        for i, j in pairs:
            p = F.softmax((t[i] - C) / tpt, dim=1)
            loss = loss - (p * F.log_softmax(s[j] / tps, dim=1)).sum(dim=1).mean() / len(pairs)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
        share = 1 - (1 - PACE.momentum) * (math.cos(math.pi * (number + 1) / num_steps) + 1) / 2
        for gt, gs in zip(teacher.parameters(), student.parameters(), strict=True):
            gt.data = share * gt.data + (1 - share) * gs.data
        C = m * C + (1 - m) * torch.cat(t).mean(dim=0)  # noqa: N806
    return losses, teacher, C


def test_six_steps_are_the_papers_algorithm_line_by_line():
    num_steps = 6
    step = replace(step_of(), pace=replace(PACE, frozen_fraction=0.0))
    expected, teacher, centre = literal_run(step.network, num_steps)
    sgd = torch.optim.SGD([p for p in step.network.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for number in range(num_steps):
        sgd.zero_grad()
        generator = torch.Generator().manual_seed(number)
        losses.append(backward(step, batch_of(), generator, Passes(step.network)).item())
        sgd.step()
        step.advance((number + 1) / num_steps)
    assert losses == pytest.approx(expected, rel=1e-4)
    assert max(losses) - min(losses) > 0.05
    torch.testing.assert_close(step.network.centre, centre, rtol=1e-3, atol=1e-5)
    image = view_of(8, 0.0)(batch_of().image, torch.Generator())
    torch.testing.assert_close(step.network.target(image), teacher(image), rtol=1e-3, atol=1e-4)


def test_the_loss_takes_the_centre_of_before_the_step():
    step = step_of()
    outputs = step.outputs(batch_of(), torch.Generator().manual_seed(3))
    targets = centred_targets(outputs[1], centre=step.network.centre.clone(), temperature=0.04)
    expected = cross_view_loss(outputs[0], targets, temperature=0.1)
    torch.testing.assert_close(step.loss(outputs, batch_of()), expected)
    assert (step.loss(outputs, batch_of()) - expected).abs() > 1e-4  # with the moved one it would be another


def test_the_teacher_sees_the_two_global_views_and_learns_nothing_itself():
    step = step_of(num_local_views=3)
    student, teacher = step.outputs(batch_of(5), torch.Generator().manual_seed(3))
    assert student.shape == (5, 5, 10)
    assert teacher.shape == (5, 2, 10)
    assert not teacher.requires_grad
    torch.testing.assert_close(student[:, :2], teacher)  # equal weights at first, and the same views
    run(step, None)
    assert all(parameter.grad is None for parameter in step.network.target.parameters())


def test_after_a_step_the_teacher_follows_and_the_temperature_rises():
    step = step_of()
    online, target = step.network.online.embedding, step.network.target
    with torch.no_grad():
        for parameter in online.parameters():
            parameter.add_(1)
    before = target.projector.prototypes.clone()
    step.advance(0.25)
    momentum = 1 - 0.5 * (1 + 0.5**0.5) / 2
    torch.testing.assert_close(target.projector.prototypes, before + (1 - momentum))
    assert step.network.teacher_temperature.item() == pytest.approx(0.06)
    step.advance(1.0)
    assert step.network.teacher_temperature.item() == pytest.approx(0.08)


def test_prototypes_stay_until_their_time_and_the_rest_learns():
    step = step_of(prototype_rate=0.0)
    head = step.network.online.embedding.projector

    def slopes() -> tuple[float, float]:
        run(step, None)
        return float(head.prototypes.grad.abs().max()), float(head.layers[0].weight.grad.abs().max())

    prototypes, others = slopes()
    assert prototypes == 0
    assert others > 0
    step.advance(0.2)
    assert slopes()[0] == 0
    step.advance(0.25)
    assert slopes()[0] > 0


def test_a_state_taken_up_again_goes_on_alike():
    """Centre, temperature and the prototypes' rate are in it, not in the step."""
    gone_on, fresh = step_of(prototype_rate=0.0), step_of(prototype_rate=0.0)
    run(gone_on, None)
    gone_on.advance(0.3)
    fresh.network.load_state_dict(gone_on.network.state_dict())
    (loss, gradient), (other_loss, other_gradient) = run(gone_on, None), run(fresh, None)
    assert other_loss == loss
    assert torch.equal(other_gradient, gradient)


def test_sizes_go_through_the_backbone_once_each():
    step, seen = step_of(num_local_views=3), []
    hook = step.network.online.embedding.backbone.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    step.outputs(batch_of(4), torch.Generator().manual_seed(0))
    hook.remove()
    assert [tuple(image.shape) for image in seen] == [(8, 3, 8, 8), (12, 3, 4, 4)]


def test_a_crops_logits_do_not_depend_on_its_company():
    step = step_of(num_local_views=2)
    crops = [torch.rand(3, 3, 8, 8), torch.rand(3, 3, 4, 4), torch.rand(3, 3, 4, 4)]
    together = step.project(crops)
    for number, crop in enumerate(crops):
        torch.testing.assert_close(together[:, number], step.network.online.embedding(crop))
