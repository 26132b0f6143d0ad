"""The student's step: each loss with its weight, targets only where there are some, one loss whatever the workers."""

import pytest
import torch

from raydr.build import build_distil_step, check_losses
from raydr.config.distillation import DistillationSettings
from raydr.engine.accumulation import Passes, backward
from raydr.engine.batch import Batch
from raydr.engine.steps.distil import Targets
from raydr.errors import InputError
from raydr.losses.classification import label_loss
from raydr.losses.consistency import consistency_loss
from raydr.losses.decoupled import decoupled_loss
from raydr.losses.distillation import hard_target_loss, soft_target_loss
from raydr.losses.sharpened import sharpened_target_loss
from raydr.losses.standardised import standardised_loss

NO_LOSS = {"soft_weight": 0.0, "label_weight": 0.0}
GENERATOR = torch.Generator()


def view(image, _generator):
    return image.float() / 255


def dark(image, _generator):
    return image.float() / 510 + torch.tensor([0.3, 0.0, 0.1])[:, None, None]


def network(num_outputs):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, num_outputs))


class Seeing(torch.nn.Module):
    """Logits, then features, the picture's average colour, and every view that came."""

    def __init__(self, num_outputs, *, has_features):
        super().__init__()
        self.judge, self.has_features, self.views = network(num_outputs), has_features, []

    def forward(self, view):
        self.views.append(view)
        features = view.mean(dim=(2, 3))
        return (self.judge(view), features) if self.has_features else (self.judge(view),)


class Asked(Seeing):
    """A teacher of other opinions."""

    def forward(self, view):
        logits, features = super().forward(view)
        return (2 - 3 * logits).detach(), features.flip(1)


@pytest.fixture
def batch() -> Batch:
    draw = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (6, 3, 2, 2), dtype=torch.uint8, generator=draw)
    return Batch(image, torch.tensor([9, 3, 0, 7, 5, 1]), torch.tensor([-1, 2, 0, -1, 4, -1]))


def table(num_outputs, *, unknown=()):
    logits = 3 * torch.randn(10, num_outputs, generator=torch.Generator().manual_seed(2))
    logits[list(unknown)] = float("nan")
    return logits


def build(table, share=1.0, shift=0.0, teacher=None, **settings):
    targets = None if table is None else Targets(table, share, torch.tensor(shift))
    return build_distil_step(
        DistillationSettings(**{**NO_LOSS, **settings}),
        Seeing(1 if table is None else table.shape[1], has_features="feature_weight" in settings),
        view=view,
        strong_view=dark,
        targets=targets,
        teacher=teacher,
        class_weights=None,
    )


def loss_of(step, batch):
    return step.loss(step.outputs(batch, GENERATOR), batch)


@pytest.mark.parametrize(
    ("settings", "literal"),
    [
        ({"soft_weight": 0.7, "temperature": 3.0}, lambda s, t, g: 0.7 * soft_target_loss(s, t, temperature=3.0)),
        ({"hard_weight": 2.0}, lambda s, t, g: 2 * hard_target_loss(s, t)),
        ({"sharpened_weight": 1.0, "sharpening": 0.4}, lambda s, t, g: sharpened_target_loss(s, t, temperature=0.4)),
        ({"standardised_weight": 1.0}, lambda s, t, g: standardised_loss(s, t, temperature=2.0)),
        (
            {"decoupled_weight": 1.0, "other_grades": 3.0},
            lambda s, t, g: decoupled_loss(
                s, t, torch.where(g >= 0, g, t.argmax(1)), temperature=2.0, other_weight=3.0
            ),
        ),
        ({"label_weight": 0.5}, lambda s, t, g: 0.5 * label_loss(s, g, weights=None)),
    ],
    ids=["soft", "hard", "sharpened", "standardised", "decoupled", "label"],
)
def test_each_loss_comes_with_its_weight(batch, settings, literal):
    targets = table(5)
    student = network(5)(view(batch.image, None))
    torch.testing.assert_close(
        loss_of(build(targets, **settings), batch), literal(student, targets[batch.row], batch.grade)
    )


def test_consistency_asks_of_the_strong_view_what_is_said_of_the_other(batch):
    step = build(table(1), consistency_weight=1.5, consistency_threshold=0.6)
    bare = network(1)
    expected = 1.5 * consistency_loss(bare(dark(batch.image, None)), bare(view(batch.image, None)), threshold=0.6)
    assert expected > 0
    torch.testing.assert_close(loss_of(step, batch), expected)


def test_images_without_targets_teach_nothing_and_the_others_weigh_as_much_as_without_a_gate(batch):
    targets = table(1, unknown=[3, 7, 1])
    student = network(1)(view(batch.image, None))
    taught = torch.tensor([0, 2, 4])
    step = build(targets, share=0.5, soft_weight=1.0)
    torch.testing.assert_close(
        loss_of(step, batch), soft_target_loss(student[taught], targets[batch.row[taught]], temperature=2.0)
    )


def test_the_mean_of_two_workers_is_the_whole_batch_however_unevenly_targets_fall(batch):
    targets = table(1, unknown=[9, 3])
    whole = build(targets, share=0.8, soft_weight=1.0, hard_weight=0.5)
    parts = [loss_of(whole, piece) for piece in batch.pieces(3)]
    torch.testing.assert_close(sum(parts) / 2, loss_of(whole, batch))


def test_a_batch_without_any_target_still_has_a_gradient_for_the_other_workers_to_average(batch):
    step = build(table(1, unknown=range(10)), soft_weight=1.0)
    loss = loss_of(step, batch)
    loss.backward()
    assert loss.item() == 0
    assert all(parameter.grad is not None for parameter in step.network.parameters())


@pytest.mark.parametrize("name", ["decoupled_weight", "standardised_weight"])
def test_losses_that_are_blind_with_one_logit_are_refused_by_their_key(name):
    with pytest.raises(InputError, match=rf"distillation\.{name}: needs a teacher of five grades"):
        check_losses(DistillationSettings(**{name: 1.0}), 1)


def test_a_teacher_that_is_asked_sees_the_very_view_that_the_student_sees(batch):
    teacher = Asked(1, has_features=True)
    step = build(None, targets="online", teacher=teacher, soft_weight=1.0, consistency_weight=1.0)
    loss = loss_of(step, batch)
    (seen,) = teacher.views
    assert torch.equal(seen, view(batch.image, None))
    student = network(1)
    said = 2 - 3 * student(seen)
    expected = soft_target_loss(student(seen), said, temperature=2.0)
    expected = expected + consistency_loss(student(dark(batch.image, None)), student(seen), threshold=0.95)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_what_was_asked_beforehand_says_which_images_an_asked_teacher_teaches_and_how_far_to_put_it_right(batch):
    step = build(
        table(1, unknown=[3, 7, 1]),
        share=0.5,
        shift=[0.7],
        targets="online",
        teacher=Asked(1, has_features=True),
        soft_weight=1.0,
    )
    student = network(1)(view(batch.image, None))
    taught = torch.tensor([0, 2, 4])
    expected = soft_target_loss(student[taught], (2 - 3 * student + 0.7)[taught], temperature=2.0)
    torch.testing.assert_close(loss_of(step, batch), expected)


def test_features_are_asked_for_on_every_image(batch):
    step = build(
        table(1, unknown=range(10)),
        targets="online",
        teacher=Asked(1, has_features=True),
        feature_weight=1.5,
        consistency_weight=1.0,
        consistency_threshold=1.0,
    )
    colour = view(batch.image, None).mean(dim=(2, 3))
    cosine = (colour * colour.flip(1)).sum(dim=1) / colour.square().sum(dim=1)
    torch.testing.assert_close(loss_of(step, batch), 1.5 * (1 - cosine).mean())


def test_pieces_of_a_batch_have_its_gradient_with_a_teacher_that_is_asked_for_features(batch):
    gradients = []
    for images_at_once in (None, 2):
        step = build(None, targets="online", teacher=Asked(1, has_features=True), feature_weight=1.0, soft_weight=1.0)
        backward(step, batch, GENERATOR, Passes(step.network, images_at_once=images_at_once))
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in step.network.parameters()]))
    torch.testing.assert_close(*gradients)
