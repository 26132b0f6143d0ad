"""What both ranks do in the tests of distillation over workers."""

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from raydr.build import build_distil_step
from raydr.config.distillation import DistillationSettings
from raydr.engine.batch import Batch
from raydr.engine.steps.distil import Targets
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier
from raydr.models.ensemble import Ensemble
from raydr.models.student import Student

COUNT = 4


def view(image: torch.Tensor, _generator: torch.Generator) -> torch.Tensor:
    return image.float() / 255


def classifier(name: str) -> Classifier:
    return Classifier(create_backbone(name), 1)


def loss_and_gradient(rank: int | None) -> tuple[float, np.ndarray, int]:
    """Of one rank's images, or (None) of all in one process, and the number of parameters without a gradient."""
    torch.manual_seed(0)
    teacher = Ensemble([classifier("test_resnet"), classifier("test_resnet")])
    student = Student(classifier("test_vit"), teacher.num_features)  # no statistics of a batch
    table = torch.zeros(2 * COUNT, 1)
    table[[1, 2, 3]] = torch.nan  # unevenly over the ranks
    step = build_distil_step(
        DistillationSettings(targets="online", feature_weight=0.7, hard_weight=0.5, label_weight=0.0),
        student if rank is None else DistributedDataParallel(student),
        view=view,
        strong_view=view,
        targets=Targets(table, 5 / 8, torch.tensor([0.3])),
        teacher=teacher,
        class_weights=None,
    )
    draw = torch.Generator().manual_seed(2)
    image = torch.randint(0, 256, (2 * COUNT, 3, 32, 32), dtype=torch.uint8, generator=draw)
    rows = torch.arange(2 * COUNT) if rank is None else torch.arange(rank * COUNT, (rank + 1) * COUNT)
    batch = Batch(image[rows], rows, torch.full_like(rows, -1))
    loss = step.loss(step.outputs(batch, torch.Generator()), batch)
    loss.backward()
    return float(loss.detach()), gradient_of(student), sum(p.grad is None for p in student.parameters())


def gradient_of(network: nn.Module) -> np.ndarray:
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]).numpy()
