"""What torchrun starts: a small training with the engine alone."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from raydr.engine.batch import Pool
from raydr.engine.context import LocalContext
from raydr.engine.fit import FitPlan, StoppedError, Training, fit
from raydr.engine.parallel import distributed
from raydr.engine.sources import ShuffledPool
from raydr.engine.steps.classify import ClassifyStep

folder, is_slow = Path(sys.argv[1]), sys.argv[2] == "1"
folder.mkdir(parents=True, exist_ok=True)
context = LocalContext.of_torchrun(folder)
draw = np.random.default_rng(0)
pool = Pool(draw.integers(0, 256, (64, 3, 2, 2), dtype=np.uint8), np.arange(64), draw.integers(0, 5, 64))
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 1)).to(context.device)


def view(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if is_slow:
        (folder / "started").touch()
        time.sleep(0.05)
    return image.float() / 255 + 0.1 * torch.rand(image.shape, generator=generator).to(image.device)


training = Training(
    network,
    torch.optim.AdamW([{"params": network.parameters(), "peak_lr": 0.01}], lr=0.01),
    ClassifyStep(distributed(network, context), view, None),
    ShuffledPool(pool, 2, seed=0, rank=context.rank, world_size=context.world_size),
)
plan = FitPlan(3, 0.1, 1.0, "fp32", seed=0, settings_digest="d")
try:
    progress = fit(training, plan, context, lambda _: {})
except StoppedError:
    sys.exit(143)
if context.rank == 0:
    (folder / "history.json").write_text(json.dumps(progress.history))
