"""Twenty steps of every method on fixed images have the losses that they had before.

A change of a curve is a change of the method and needs a reason in its commit. To write the curves anew:
``python tests/unit/learning/test_golden_curves.py``. Another method is one more entry of ``METHODS``.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from raydr.build import build_method, build_optimizer
from raydr.config.stages import PretrainStage
from raydr.engine.batch import Pool
from raydr.engine.context import LocalContext
from raydr.engine.fit import FitPlan, Training, fit
from raydr.engine.sources import ShuffledPool
from raydr.images.augment import augmentation
from raydr.learning.assignment import seed_weights

METHODS = {
    "simclr": {"hidden_dim": 32, "projection_dim": 16},
    "simclr_memory": {
        "name": "simclr",
        "hidden_dim": 32,
        "projection_dim": 16,
        "memory_size": 40,
        "memory_momentum": 0.9,
    },
    "byol": {"hidden_dim": 32, "projection_dim": 16, "momentum": 0.9},
    "moco_v3": {"hidden_dim": 32, "projection_dim": 16, "momentum": 0.9},
    "vicreg": {"hidden_dim": 32, "projection_dim": 16},
    "dino": {
        "hidden_dim": 32,
        "bottleneck_dim": 16,
        "num_prototypes": 24,
        "num_local_views": 2,
        "local_side_px": 16,
        "temperature_warmup_fraction": 0.5,
        "frozen_fraction": 0.25,
    },
    "mae": {"decoder_dim": 32, "decoder_depth": 1},
    "lesions": {},
}
BACKBONES = dict.fromkeys(METHODS, "test_resnet") | {"mae": "test_vit"}
CURVES = Path(__file__).with_name("golden_curves.json")
STEPS, SIDE_PX, NUM_IMAGES, BATCH_SIZE = 20, 32, 24, 8
FEW_STEPS = 8
"""Enough to see that a setting makes another curve; a momentum takes longer to tell."""
LEARNING_RATE = 0.002
"""Small, since steps magnify rounding: weights 1e-6 off end in losses 1e-4 off, and 0.1 off at ten times the rate."""
TOLERANCE = 1e-3
"""Relative: another CPU rounds otherwise."""


class Kept(LocalContext):
    """Keeps the metrics of so many steps and no state."""

    steps = STEPS

    def report(self, metrics, save_state):
        self.history.append(dict(metrics))
        if len(self.history) == self.steps:
            raise KeyboardInterrupt


def images() -> np.ndarray:
    """Blobs of random colour: uint8 [N, 3, S, S]."""
    draw = np.random.default_rng(0)
    coarse = torch.from_numpy(draw.uniform(0, 255, (NUM_IMAGES, 3, 4, 4)).astype(np.float32))
    return torch.nn.functional.interpolate(coarse, SIDE_PX, mode="bilinear").to(torch.uint8).numpy()


def curve(name: str, steps: int = STEPS, **changes: object) -> list[float]:
    """The loss of each of the first steps, each an epoch of its own to the training loop."""
    settings = PretrainStage.model_validate(
        {
            "model": {"backbone": BACKBONES[name]},
            "method": {"name": name, **METHODS[name], **changes},
            "optim": {"name": "sgd", "learning_rate": LEARNING_RATE, "epochs": STEPS},
        }
    )
    seed_weights(0)
    context = Kept(Path(tempfile.gettempdir()))
    context.steps = steps
    method = build_method(settings.model, settings.method, augmentation(settings.augment), context)
    pool = Pool(images(), np.arange(NUM_IMAGES), np.full(NUM_IMAGES, -1))
    source = OneStep(ShuffledPool(pool, BATCH_SIZE, seed=0))
    optimizer = build_optimizer(settings.optim, method.network)
    plan = FitPlan(
        epochs=STEPS,
        warmup_fraction=settings.optim.warmup_fraction,
        gradient_clip=settings.optim.gradient_clip,
        precision="fp32",
        seed=0,
        settings_digest="",
    )
    with contextlib.suppress(KeyboardInterrupt):
        fit(Training(method.network, optimizer, method.step, source, method.no_sync), plan, context, lambda _: {})
    return [row["loss"] for row in context.history]


class OneStep:
    """The first batch of each epoch of another source."""

    steps_per_epoch = 1

    def __init__(self, source: ShuffledPool) -> None:
        self.source = source

    def epoch(self, number, start=0):
        yield next(iter(self.source.epoch(number)))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def is_another(name: str, steps: int = FEW_STEPS, **changes: object) -> bool:
    known = json.loads(CURVES.read_text())[name][:steps]
    return np.abs(np.divide(curve(name, steps, **changes), known) - 1).max() > 5 * TOLERANCE


@pytest.mark.parametrize("name", METHODS)
def test_the_losses_of_twenty_steps_are_what_they_were(name):
    np.testing.assert_allclose(curve(name), json.loads(CURVES.read_text())[name], rtol=TOLERANCE)


@pytest.mark.parametrize("name", [name for name, settings in METHODS.items() if "momentum" in settings])
def test_another_momentum_is_another_curve(name):
    """So the test above can fail: it sees how the target follows."""
    assert is_another(name, STEPS, momentum=0.5)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("simclr", {"decoupled": True}),
        ("simclr_memory", {"memory_size": 0}),
        ("simclr_memory", {"memory_size": 24}),
        ("vicreg", {"covariance_weight": 4.0}),
        ("dino", {"centre_momentum": 0.5}),
        ("dino", {"temperature_warmup_fraction": 0.1}),
        ("mae", {"hidden_fraction": 0.5}),
    ],
)
def test_another_setting_is_another_curve(name, changes):
    assert is_another(name, **changes)


if __name__ == "__main__":
    torch.set_num_threads(1)
    CURVES.write_text(json.dumps({name: curve(name) for name in METHODS}, indent=1) + "\n")
