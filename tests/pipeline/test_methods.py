"""No method collapses on phantoms, and what a run of a minute can show of learning is shown.

SimCLR and VICReg learn: views of unseen eyes are found again and neighbours are of like disease, more than for an
untrained network whose batch statistics are of the same eyes. (Statistics alone, without a step of learning, bring the
kNN AUC from about 0.6 to 0.87 and the rank from 4 to 40.) BYOL, MoCo v3 and DINO do not show as much in so short a run:
they are held to not collapsing, DINO also to its own task. So is MAE, whose features are for fine-tuning, not for
neighbours (arXiv:2111.06377, section 4.3), and have few directions after a run as short as this one.

Another method is one more entry of ``METHODS``, and of ``QUICK`` if a minute is enough for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from raydr.build import build_method
from raydr.config.stages import PretrainStage
from raydr.engine.batch import Pool
from raydr.engine.context import LocalContext
from raydr.engine.method import Method
from raydr.engine.sources import ShuffledPool
from raydr.engine.steps.mae import random_order
from raydr.grades import REFERABLE_GRADE
from raydr.images.augment import augmentation
from raydr.images.phantom import draw_grades, draw_phantom
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment, seed_weights
from raydr.learning.pretrain import PretrainImages, pretrain
from raydr.losses.dino import centred_targets, cross_view_loss
from raydr.losses.reconstruction import patches, standardised
from raydr.metrics.neighbours import effective_rank, knn_scores
from raydr.metrics.roc import auc
from raydr.models.dino_network import DinoNetwork

pytestmark = pytest.mark.pipeline

METHODS = {
    "simclr": {"hidden_dim": 128, "projection_dim": 32},
    "byol": {"hidden_dim": 256, "projection_dim": 32, "momentum": 0.9},
    "moco_v3": {"hidden_dim": 256, "projection_dim": 32, "temperature": 0.2, "momentum": 0.9},
    "vicreg": {"hidden_dim": 256, "projection_dim": 64},
    # The teacher must move more slowly than the centre, whose momentum is 0.9: else its outputs run ahead of that.
    "dino": {
        "hidden_dim": 128,
        "bottleneck_dim": 32,
        "num_prototypes": 128,
        "num_local_views": 2,
        "local_side_px": 24,
        "local_area": [0.1, 0.4],
        "teacher_temperature": 0.04,
        "momentum": 0.99,
    },
}
QUICK = ("simclr", "vicreg")
MAE = {"name": "mae", "decoder_dim": 128, "decoder_depth": 2}
SIDE_PX, NUM_TRAINING, NUM_HELD_OUT = 48, 64, 96
"""Patients, of two eyes each, to learn from; held-out eyes, of a patient each."""
COLLAPSED_RANK = 1.0
"""The effective rank of embeddings that all point one way."""
MIN_RANK = 8 * COLLAPSED_RANK


def phantoms(patients: range, *, one_eye: bool) -> Pool:
    pictures, grades = [], []
    for patient in patients:
        for eye, grade in zip(("left", "right"), draw_grades(patient), strict=True):
            if one_eye and eye == "right":
                continue
            pictures.append(draw_phantom(patient_seed=patient, eye=eye, grade=grade, side_px=SIDE_PX))
            grades.append(grade)
    image = np.stack(pictures).transpose(0, 3, 1, 2)
    return Pool(np.ascontiguousarray(image), np.arange(len(image)), np.array(grades))


@pytest.fixture(scope="module")
def training() -> Pool:
    return phantoms(range(NUM_TRAINING), one_eye=False)


@pytest.fixture(scope="module")
def held_out() -> Pool:
    return phantoms(range(1000, 1000 + NUM_HELD_OUT), one_eye=True)


def settings(name: str) -> PretrainStage:
    backbone, epochs, rate = ("test_resnet", 60, 3e-3) if name in QUICK else ("resnet10t", 10, 1e-3)
    return PretrainStage.model_validate(
        {
            "model": {"backbone": backbone},
            "method": {"name": name, **METHODS[name]},
            "optim": {"learning_rate": rate, "epochs": epochs, "batch_size": 32},
            "probe": {"every_epochs": epochs},
        }
    )


@pytest.fixture(scope="module")
def learn(training, held_out, tmp_path_factory) -> Callable[[PretrainStage], Method]:
    """Pretrains as a stage says, once for all tests."""
    folders: dict[str, Path] = {}

    def learnt(stage: PretrainStage) -> Method:
        name = stage.method.name
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            images = PretrainImages(ShuffledPool(training, 32, seed=0), bank=training, queries=held_out)
            assignment = Assignment(Preprocess(side_px=SIDE_PX), None, seed=0, settings_digest="d")
            pretrain(stage, images, assignment, LocalContext(folders[name]))
        return method_of(stage, folders[name] / "state")

    return learnt


@torch.no_grad()
def untrained(stage: PretrainStage, training: Pool) -> Method:
    """The method as it starts, its batch statistics those of the training eyes."""
    method = method_of(stage)
    for layer in method.encoder.modules():
        if isinstance(layer, _BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None  # the mean of all that they see
    method.encoder.train()
    method.encoder(torch.from_numpy(training.image).float() / 255)
    method.encoder.eval()
    return method


def method_of(stage: PretrainStage, state: Path | None = None) -> Method:
    """The method as it starts, or as it was saved; its network as it is scored."""
    seed_weights(0)
    method = build_method(stage.model, stage.method, augmentation(stage.augment), LocalContext(Path("unused")))
    if state is not None:
        method.network.load_state_dict(safetensors.torch.load_file(state / "model.safetensors"))
    method.network.eval()
    return method


@dataclass(frozen=True)
class Figures:
    """What a network makes of the held-out eyes."""

    rank: float
    """Directions in use (`effective_rank`)."""
    knn_auc: float
    """Of referable eyes, by the votes of their neighbours among the training eyes."""
    twins: float
    """How often an eye's other view is nearer to its first than another eye's is; 0.5 by chance."""


@torch.no_grad()
def figures(network: nn.Module, training: Pool, held_out: Pool) -> Figures:
    bank, queries = (network(torch.from_numpy(pool.image).float() / 255).numpy() for pool in (training, held_out))
    votes = knn_scores(bank, training.grade >= REFERABLE_GRADE, queries)
    draw, image = torch.Generator().manual_seed(5), torch.from_numpy(held_out.image)
    first, second = (nn.functional.normalize(network(augmentation("weak_medium")(image, draw))) for _ in range(2))
    similarity = first @ second.T
    twins = (similarity.diagonal()[:, None] > similarity).sum().item() / (len(image) * (len(image) - 1))
    return Figures(effective_rank(queries), auc(held_out.grade >= REFERABLE_GRADE, votes), twins)


def seen_by_the_loss(method: Method) -> nn.Module:
    """Images to what the method's loss compares: DINO's takes the centre off the teacher's logits."""
    if isinstance(method.network, DinoNetwork):
        centring = nn.Linear(len(method.network.centre), len(method.network.centre))
        nn.init.eye_(centring.weight)
        centring.bias.data = -method.network.centre
        return nn.Sequential(method.encoder, centring)
    return method.encoder


def has_learnt(trained: Figures, untrained: Figures) -> bool:
    return trained.knn_auc > untrained.knn_auc + 0.05 and trained.twins > untrained.twins + 0.1


@pytest.mark.parametrize("name", METHODS)
def test_pretraining_keeps_directions(name, training, held_out, learn):
    trained = learn(settings(name))
    for network in (trained.encoder.backbone, seen_by_the_loss(trained)):
        assert figures(network, training, held_out).rank > MIN_RANK


@pytest.mark.parametrize("name", QUICK)
def test_pretraining_finds_unseen_eyes_again_and_brings_like_ones_together(name, training, held_out, learn):
    start, trained = untrained(settings(name), training), learn(settings(name))
    before, after = (figures(method.encoder.backbone, training, held_out) for method in (start, trained))
    assert has_learnt(after, before), f"trained {after}, untrained {before}"


@dataclass(frozen=True)
class Agreement:
    """What DINO's student and teacher say of the held-out eyes."""

    divergence: float
    """Of the student from the teacher: the loss less the teacher's entropy."""
    own: float
    """By how much the loss is below that with the teacher's words of another eye."""


@torch.no_grad()
def agreement(method: Method, held_out: Pool) -> Agreement:
    network, batch = method.network.train(), held_out.take(np.arange(len(held_out)))  # as it is trained
    student, teacher = method.step.outputs(batch, torch.Generator().manual_seed(0))
    targets = centred_targets(teacher, centre=network.centre, temperature=network.teacher_temperature)
    loss, of_another = (cross_view_loss(student, t, temperature=0.1).item() for t in (targets, targets.roll(1, 0)))
    entropy = torch.special.entr(targets).sum(dim=-1).mean().item()
    return Agreement(loss - entropy, of_another - loss)


def test_dinos_student_comes_to_say_what_its_teacher_says_of_this_eye(held_out, learn):
    """Its loss rises all the while: the centre takes away what all eyes have in common, and the targets' entropy grows.

    So the loss is no measure of what is learnt. The divergence in it is, with the centre where the run leaves it.
    """
    start, trained = method_of(settings("dino")), learn(settings("dino"))
    start.network.centre.copy_(settled_centre(start, held_out))
    before, after = agreement(start, held_out), agreement(trained, held_out)
    assert after.divergence < 0.4 * before.divergence, f"trained {after}, untrained {before}"
    assert after.own > 0.03


@torch.no_grad()
def settled_centre(method: Method, held_out: Pool) -> torch.Tensor:
    method.network.train()
    batch = held_out.take(np.arange(len(held_out)))
    return method.step.outputs(batch, torch.Generator().manual_seed(1))[1].mean(dim=(0, 1))


@dataclass(frozen=True)
class Reconstruction:
    """Mean squared errors over hidden patches of held-out eyes, each patch standardised."""

    told: float
    mean_picture: float
    """With the training eyes' mean for each patch, the best that can be told without looking."""
    of_another: float
    """With what is told from the visible patches of another view of the same eye."""


@torch.no_grad()
def reconstruction(method: Method, training: Pool, held_out: Pool) -> Reconstruction:
    """Views of both sets are drawn alike, each eye is seen 16 times; of both views the same patches are hidden."""
    network, step, draw = method.network, method.step, torch.Generator().manual_seed(0)
    known, unseen = (pool.take(np.tile(np.arange(len(pool)), 16)) for pool in (training, held_out))
    mean = step.outputs(known, draw)[1].mean(dim=0)
    view, another = (step.view(unseen.image, draw) for _ in range(2))
    count = network.num_patches(SIDE_PX)
    num_visible = int(count * (1 - step.hidden_fraction))
    order = random_order(len(view), count, draw)
    is_hidden = (order.argsort(dim=1) >= num_visible).float()
    there = standardised(patches(view, side_px=network.patch_px))
    told, of_others = (network(image, order, num_visible) for image in (view, another))
    guesses = (told, mean.expand_as(told), of_others)
    return Reconstruction(*(step.loss((guess, there, is_hidden), unseen).item() for guess in guesses))


def test_mae_tells_hidden_patches_of_unseen_eyes_from_the_visible_ones(training, held_out, learn):
    """Phantoms are much alike: their mean picture alone leaves but a quarter of the variance.

    What is told beyond it after so short a run is how the view lies, not yet which eye it is of.
    """
    stage = PretrainStage.model_validate(
        {
            "model": {"backbone": "test_vit"},
            "method": MAE,
            "optim": {"learning_rate": 3e-3, "epochs": 40, "batch_size": 32},
            "probe": {"every_epochs": 40},
        }
    )
    start, trained = (reconstruction(m, training, held_out) for m in (method_of(stage), learn(stage)))
    assert trained.told < 0.93 * trained.mean_picture, trained
    assert trained.mean_picture < trained.of_another
    assert start.told > start.mean_picture


class Constant(nn.Module):
    """A collapsed network."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(image), 32)


def test_neither_a_collapsed_nor_an_untrained_network_passes(training, held_out):
    """So the tests above can fail."""
    stage = settings("simclr")
    start = figures(untrained(stage, training).encoder.backbone, training, held_out)
    collapsed = figures(Constant(), training, held_out)
    assert collapsed.rank == pytest.approx(COLLAPSED_RANK)
    assert collapsed.knn_auc < start.knn_auc
    assert collapsed.twins == 0
    assert not has_learnt(collapsed, start)
    assert not has_learnt(start, start)
    without_statistics = figures(method_of(stage).encoder.backbone, training, held_out)
    assert without_statistics.knn_auc < start.knn_auc - 0.1  # a baseline that is passed without learning
