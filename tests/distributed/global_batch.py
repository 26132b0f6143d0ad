"""What both ranks do in the tests of gradients over workers; a module of its own, so that processes can import it."""

from pathlib import Path

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from raydr.engine.batch import Batch, Pool
from raydr.engine.collectives import differentiable_gather, gather_rows
from raydr.engine.context import LocalContext
from raydr.engine.fit import FitPlan, Training, fit
from raydr.engine.score import score_everywhere
from raydr.engine.sources import ShuffledPool
from raydr.engine.steps.classify import ClassifyStep
from raydr.engine.steps.simclr import SimclrStep

COUNT = 4


def network() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 16), torch.nn.Tanh(), torch.nn.Linear(16, 6))


def images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).integers(0, 256, (2 * COUNT, 3, 2, 2), dtype=np.uint8))


class TwoViews:
    """The picture, then the picture turned: no randomness, so that ranks and a single process see the same."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, image: torch.Tensor, _generator: torch.Generator) -> torch.Tensor:
        self.calls += 1
        picture = image.float() / 255
        return picture if self.calls % 2 else picture.flip(-1) * 0.9 + 0.05


def loss_and_gradient(rank, world_size, *, detached=False):
    bare = network()
    project = DistributedDataParallel(bare) if world_size > 1 else bare
    gather = differentiable_gather(world_size)
    step = SimclrStep(
        project, TwoViews(), (lambda local: gather(local).detach()) if detached else gather, rank, temperature=0.3
    )
    mine = images()[rank * COUNT : (rank + 1) * COUNT] if world_size > 1 else images()
    batch = Batch(mine, torch.arange(len(mine)), torch.full((len(mine),), -1))
    loss = step.loss(step.outputs(batch, torch.Generator()), batch)
    loss.backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in bare.parameters()])
    return float(loss.detach()), gradient.numpy()


def on_a_rank(rank, detached):
    return loss_and_gradient(rank, 2, detached=detached)


def scores_of(rank):
    count = 7
    picture = np.arange(count * 12, dtype=np.uint8).reshape(count, 3, 2, 2)
    pool = Pool(picture, np.arange(count)[::-1].copy(), np.zeros(count, np.int64))
    together = score_everywhere(network(), pool, rank=rank, world_size=2, device=torch.device("cpu"), batch_size=2)
    alone = network()(torch.from_numpy(picture).float() / 255).detach().numpy()
    nobody = gather_rows(np.empty((0, 0), np.float32), np.empty(0, np.int64), 2)[0] if rank else None
    if rank == 0:
        gather_rows(np.ones((1, 2), np.float32), np.zeros(1, np.int64), 2)
    return together, alone, nobody


def scores_after_an_epoch(rank, folder, ema_decay=0.0):
    """A network with batch statistics, trained for an epoch on both ranks: what each rank's copy says and is."""
    draw = np.random.default_rng(3)
    pool = Pool(draw.integers(0, 256, (16, 3, 2, 2), dtype=np.uint8), np.arange(16), draw.integers(0, 5, 16))
    torch.manual_seed(0)
    bare = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(12, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 1)
    )
    optimizer = torch.optim.AdamW([{"params": bare.parameters(), "peak_lr": 0.01}], lr=0.01)
    step = ClassifyStep(DistributedDataParallel(bare), lambda image, _: image.float() / 255, None)
    source = ShuffledPool(pool, 4, seed=0, rank=rank, world_size=2)
    said = []

    def validate(_epoch):
        said.append(bare(torch.from_numpy(pool.image).float() / 255).detach().numpy())
        return {}

    plan = FitPlan(1, 0.0, None, "fp32", seed=0, settings_digest="d", ema_decay=ema_decay)
    context = LocalContext(Path(folder) / str(rank), rank=rank, world_size=2)
    fit(Training(bare, optimizer, step, source), plan, context, validate)
    return said[0], torch.cat([tensor.flatten().double() for tensor in bare.state_dict().values()]).numpy()
