"""Fine-tuning: where the head starts, when the validation patients are looked at."""

import numpy as np
import torch

from raydr.config.stages import FinetuneStage
from raydr.engine.batch import Pool, empty_pool
from raydr.engine.context import LocalContext
from raydr.engine.package import ModelDescription, load_model, save_model
from raydr.engine.sources import ShuffledPool
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.learning.finetune import FinetuneImages, finetune
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier

PREPROCESS = Preprocess(side_px=32)


def test_a_classifier_is_trained_on_with_its_head_or_with_a_fresh_one(tmp_path):
    torch.manual_seed(5)
    start = Classifier(create_backbone("test_vit"), 1)
    save_model(str(tmp_path / "start"), start, ModelDescription("test_vit", "binary", PREPROCESS))
    draw = np.random.default_rng(0)
    pool = Pool(draw.integers(0, 256, (8, 3, 32, 32), dtype=np.uint8), np.arange(8), np.arange(8) % 2 * 3)
    heads = {}
    for head in ("fresh", "weights"):
        settings = FinetuneStage.model_validate(
            {
                "model": {"backbone": "test_vit", "weights": str(tmp_path / "start")},
                "head": {"start": head},
                "optim": {"epochs": 1, "batch_size": 8, "learning_rate": 1e-6},
                "augment": "none",
            }
        )
        images = FinetuneImages(ShuffledPool(pool, 8, seed=0), pool, empty_pool(32))
        assignment = Assignment(PREPROCESS, str(tmp_path / head), seed=0, settings_digest=head)
        finetune(settings, images, assignment, LocalContext(tmp_path / f"states-{head}"))
        heads[head] = load_model(str(tmp_path / head)).network.head.weight
    torch.testing.assert_close(heads["weights"], start.head.weight, rtol=0, atol=1e-4)
    assert not torch.equal(heads["weights"], start.head.weight)
    assert (heads["fresh"] - start.head.weight).abs().max() > 1e-2


def test_validation_patients_are_looked_at_when_it_is_due_and_after_the_last_epoch(tmp_path):
    draw = np.random.default_rng(0)
    pool = Pool(draw.integers(0, 256, (8, 3, 32, 32), dtype=np.uint8), np.arange(8), np.arange(8) % 2 * 3)
    settings = FinetuneStage.model_validate(
        {
            "model": {"backbone": "test_vit", "weights": "none"},
            "optim": {"epochs": 5, "batch_size": 8},
            "validate_every_epochs": 2,
        }
    )
    images = FinetuneImages(ShuffledPool(pool, 8, seed=0), pool, pool)
    progress = finetune(
        settings, images, Assignment(PREPROCESS, None, seed=0, settings_digest="d"), LocalContext(tmp_path)
    ).progress
    looked_at = [epoch for epoch, row in enumerate(progress.history) if "val_auc" in row]
    assert looked_at == [1, 3, 4]
    assert progress.best_epoch in looked_at
    assert progress.best_value == max(progress.history[epoch]["val_auc"] for epoch in looked_at)
