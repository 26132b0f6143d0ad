"""DINO's loss, targets and centre against the paper's algorithm written out, and in closed form."""

import math

import pytest
import torch

from raydr.losses.dino import centred_targets, cross_view_loss, moved_centre


def logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    exponentials = [math.exp(value - top) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def literal_loss(student: torch.Tensor, teacher: torch.Tensor, centre: list[float], tps: float, tpt: float) -> float:
    """Algorithm 1 and equation 3 of arXiv:2104.14294, term by term, averaged over the pairs of crops."""
    terms = []
    for s_image, t_image in zip(student.tolist(), teacher.tolist(), strict=True):
        for t, t_logits in enumerate(t_image):
            target = softmax([(value - c) / tpt for value, c in zip(t_logits, centre, strict=True)])
            for v, s_logits in enumerate(s_image):
                if v != t:
                    said = softmax([value / tps for value in s_logits])
                    terms.append(-sum(p * math.log(q) for p, q in zip(target, said, strict=True)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("num_local", [0, 1, 3])
def test_matches_the_papers_algorithm(num_local):
    student, teacher, centre = logits(4, 2 + num_local, 6), logits(4, 2, 6, seed=1), logits(6, seed=2)
    targets = centred_targets(teacher, centre=centre, temperature=0.3)
    loss = cross_view_loss(student, targets, temperature=0.5)
    assert loss.item() == pytest.approx(literal_loss(student, teacher, centre.tolist(), 0.5, 0.3), rel=1e-5)


def test_a_crop_is_not_compared_with_itself():
    """Swapping what the teacher says of each of two crops to what the student says of it itself must not help."""
    sharp = torch.eye(2)[None].repeat(3, 1, 1) * 10  # of crop 0 prototype 0, of crop 1 prototype 1
    own, other = sharp.softmax(dim=-1), sharp.flip(1).softmax(dim=-1)
    assert cross_view_loss(sharp, own, temperature=1.0).item() > 9
    assert cross_view_loss(sharp, other, temperature=1.0).item() < 0.01


def test_the_mean_over_workers_is_the_global_batch():
    student, teacher = logits(8, 4, 6).requires_grad_(), logits(8, 2, 6, seed=1)
    targets = centred_targets(teacher, centre=torch.zeros(6), temperature=0.1)
    whole = cross_view_loss(student, targets, temperature=0.1)
    parts = [cross_view_loss(student[r], targets[r], temperature=0.1) for r in torch.arange(8).chunk(2)]
    mean = torch.stack(parts).mean()
    torch.testing.assert_close(mean, whole)
    expected = torch.autograd.grad(whole, student, retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(mean, student)[0], expected)


def test_no_gradient_reaches_the_teacher_or_the_centre():
    teacher = logits(2, 2, 4).requires_grad_()
    assert not centred_targets(teacher, centre=torch.zeros(4), temperature=0.1).requires_grad
    assert not moved_centre(torch.zeros(4), teacher.mean(dim=(0, 1)), momentum=0.9).requires_grad


def test_a_low_temperature_sharpens_and_the_centre_takes_away_what_all_have_in_common():
    teacher = torch.tensor([[[3.0, 1.0, 0.0]]])
    assert centred_targets(teacher, centre=torch.zeros(3), temperature=0.04).max() > 0.999
    even = centred_targets(teacher, centre=teacher[0, 0], temperature=0.04)
    torch.testing.assert_close(even, torch.full((1, 1, 3), 1 / 3))


def test_the_centre_is_a_moving_mean():
    centre, mean = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    torch.testing.assert_close(moved_centre(centre, mean, momentum=0.9), torch.tensor([0.9, 0.1]))


@pytest.mark.parametrize(
    ("student", "targets", "temperature"),
    [((4, 3, 5), (4, 2, 6), 0.1), ((4, 1, 5), (4, 1, 5), 0.1), ((4, 2, 5), (4, 3, 5), 0.1), ((4, 5), (4, 2, 5), 0.1),
     ((4, 3, 5), (2, 2, 5), 0.1), ((4, 3, 5), (4, 2, 5), 0.0)],
)  # fmt: skip
def test_what_does_not_fit_is_refused(student, targets, temperature):
    with pytest.raises(ValueError, match="must be"):
        cross_view_loss(torch.zeros(student), torch.zeros(targets), temperature=temperature)
