"""No method collapses on phantoms: what it makes of unseen eyes has many directions, and neighbours of like disease.

Another method is one more entry of ``METHODS``.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from raydr.build import build_method
from raydr.config.stages import PretrainStage
from raydr.engine.batch import Pool
from raydr.engine.context import LocalContext
from raydr.engine.sources import ShuffledPool
from raydr.grades import REFERABLE_GRADE
from raydr.images.augment import augmentation
from raydr.images.phantom import draw_grades, draw_phantom
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment, seed_weights
from raydr.learning.pretrain import PretrainImages, pretrain
from raydr.metrics.neighbours import effective_rank, knn_scores
from raydr.metrics.roc import auc
from raydr.models.embedding import EmbeddingNetwork

pytestmark = pytest.mark.pipeline

METHODS = {
    "simclr": {"hidden_dim": 128, "projection_dim": 32},
    "byol": {"hidden_dim": 256, "projection_dim": 32, "momentum": 0.9},
    "moco_v3": {"hidden_dim": 256, "projection_dim": 32, "temperature": 0.2, "momentum": 0.9},
}
SIDE_PX, NUM_TRAINING, NUM_HELD_OUT = 48, 64, 96
"""Patients, of two eyes each, to learn from; held-out eyes, of a patient each."""
COLLAPSED_RANK = 1.0
"""The effective rank of embeddings that all point one way."""
MIN_RANK = 8 * COLLAPSED_RANK
"""More than the untrained network's as well, whose features have one large direction in common."""


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
    return PretrainStage.model_validate(
        {
            "model": {"backbone": "resnet10t"},
            "method": {"name": name, **METHODS[name]},
            "optim": {"learning_rate": 1e-3, "epochs": 10, "batch_size": 32},
            "probe": {"every_epochs": 10},
        }
    )


@dataclass(frozen=True)
class Figures:
    """What a network makes of the held-out eyes."""

    rank: float
    """Directions in use (`effective_rank`)."""
    knn_auc: float
    """Of referable eyes, by the votes of their neighbours among the training eyes."""


@torch.no_grad()
def figures(network: nn.Module, training: Pool, held_out: Pool) -> Figures:
    bank, queries = (network(torch.from_numpy(pool.image).float() / 255).numpy() for pool in (training, held_out))
    votes = knn_scores(bank, training.grade >= REFERABLE_GRADE, queries)
    return Figures(effective_rank(queries), auc(held_out.grade >= REFERABLE_GRADE, votes))


def encoder(stage: PretrainStage, state: Path | None, folder: Path) -> EmbeddingNetwork:
    """The method's network as it starts, or as it was saved."""
    seed_weights(0)
    method = build_method(stage.model, stage.method, augmentation(stage.augment), LocalContext(folder))
    if state is not None:
        method.network.load_state_dict(safetensors.torch.load_file(state / "model.safetensors"))
    method.network.eval()
    return method.encoder


def is_sound(trained: Figures, untrained: Figures) -> bool:
    return trained.rank > MIN_RANK and trained.knn_auc > untrained.knn_auc


@pytest.mark.parametrize("name", METHODS)
def test_pretraining_keeps_directions_and_brings_like_eyes_together(name, training, held_out, tmp_path):
    stage = settings(name)
    images = PretrainImages(ShuffledPool(training, 32, seed=0), bank=training, queries=held_out)
    assignment = Assignment(Preprocess(side_px=SIDE_PX), None, seed=0, settings_digest="d")
    pretrain(stage, images, assignment, LocalContext(tmp_path))
    untrained, trained = (encoder(stage, state, tmp_path) for state in (None, tmp_path / "state"))
    before, after = (figures(network.backbone, training, held_out) for network in (untrained, trained))
    assert is_sound(after, before), f"trained {after}, untrained {before}"
    assert figures(trained, training, held_out).rank > MIN_RANK  # what the loss itself sees


class Constant(nn.Module):
    """A collapsed network."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(image), 32)


def test_a_collapsed_network_fails_both_figures(training, held_out, tmp_path):
    """So the test above can fail, and neither figure of an untrained network would do."""
    untrained = figures(encoder(settings("byol"), None, tmp_path).backbone, training, held_out)
    collapsed = figures(Constant(), training, held_out)
    assert collapsed.rank == pytest.approx(COLLAPSED_RANK)
    assert collapsed.knn_auc < untrained.knn_auc
    assert untrained.rank < MIN_RANK
    assert not is_sound(collapsed, untrained)
    assert not is_sound(untrained, untrained)
