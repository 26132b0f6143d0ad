"""What is trained on may be smaller than what is validated on."""

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from raydr.config.stages import DistillStage, FinetuneStage, PretrainStage
from raydr.engine.batch import Pool
from raydr.engine.context import LocalContext
from raydr.engine.sources import ShuffledPool
from raydr.images.augment import augmentation
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.learning.distil import DistilImages, Teaching, distil
from raydr.learning.finetune import FinetuneImages, finetune
from raydr.learning.pretrain import PretrainImages, pretrain
from raydr.models.backbone import Backbone

PREPROCESS = Preprocess(side_px=32)
SETTINGS = {
    "model": {"backbone": "test_resnet", "weights": "none"},
    "optim": {"epochs": 1, "batch_size": 8},
}


@pytest.fixture
def sides():
    """Sides of the pictures that backbones were given, in training and while validated."""
    found = {True: set(), False: set()}

    def look(module, inputs):
        if isinstance(module, Backbone):
            found[module.training].add(tuple(inputs[0].shape[-2:]))

    handle = register_module_forward_pre_hook(look)
    yield found
    handle.remove()


def learn(kind, pool, assignment, context, **own):
    batches = ShuffledPool(pool, 8, seed=0)
    match kind:
        case "pretrain":
            settings = PretrainStage.model_validate(
                {**SETTINGS, "method": {"name": "lesions"}, "probe": {"num_neighbours": 2}, **own}
            )
            pretrain(settings, PretrainImages(batches, pool, pool), assignment, context)
        case "finetune":
            finetune(
                FinetuneStage.model_validate({**SETTINGS, **own}),
                FinetuneImages(batches, pool, pool),
                assignment,
                context,
            )
        case "distil":
            logits = np.zeros((8, 1), np.float32)
            settings = DistillStage.model_validate({**SETTINGS, "distillation": {"consistency_weight": 1.0}, **own})
            distil(settings, DistilImages(batches, pool, pool), Teaching(logits, "binary"), assignment, context)


@pytest.mark.pipeline
@pytest.mark.parametrize("kind", ["pretrain", "finetune", "distil"])
def test_views_are_as_small_as_they_are_to_be_and_validation_sees_the_whole_picture(kind, sides, tmp_path):
    draw = np.random.default_rng(0)
    pool = Pool(draw.integers(60, 256, (8, 3, 32, 32), dtype=np.uint8), np.arange(8), np.arange(8) % 2 * 3)
    assignment = Assignment(PREPROCESS, None, seed=0, settings_digest="d")
    learn(kind, pool, assignment, LocalContext(tmp_path / "small"), view_side_px=24)
    assert sides == {True: {(24, 24)}, False: {(32, 32)}}
    sides[True].clear()
    learn(kind, pool, assignment, LocalContext(tmp_path / "whole"))
    assert sides == {True: {(32, 32)}, False: {(32, 32)}}


def test_a_view_that_is_none_is_the_picture_scaled():
    row = torch.arange(0, 256, 8, dtype=torch.uint8)
    image = row.expand(1, 3, 32, 32).contiguous()
    view = augmentation("none", side_px=16)(image, torch.Generator().manual_seed(0))
    torch.testing.assert_close(view[0, 0, 0], (row.float() / 255).view(16, 2).mean(dim=1), atol=0.01, rtol=0)
