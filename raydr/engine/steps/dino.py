"""DINO's step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raydr.engine.batch import Batch
from raydr.engine.step import Outputs, Step, View
from raydr.losses.dino import centred_targets, cross_view_loss, moved_centre
from raydr.models.dino_network import DinoNetwork
from raydr.schedules import cosine_momentum, linear_rise


@dataclass(frozen=True, slots=True)
class DinoPace:
    """How DINO's hyperparameters move over a run, whose length is 1."""

    momentum: float
    """The teacher's, at first; at last it is 1."""
    first_teacher_temperature: float
    teacher_temperature: float
    warmup_fraction: float
    """Until when the teacher's temperature rises from the first to the last one."""
    frozen_fraction: float
    """Until when the prototypes stay as they are."""


@dataclass(frozen=True, slots=True)
class DinoStep(Step):
    """DINO (arXiv:2104.14294): from any crop the student tells what a slowly following teacher says of another one."""

    network: DinoNetwork
    project: nn.Module
    """The student on a sequence of crops."""
    view: View
    local_view: View
    num_local_views: int
    gather: Callable[[Tensor], Tensor]
    student_temperature: float
    centre_momentum: float
    pace: DinoPace

    def outputs(self, batch: Batch, generator: torch.Generator) -> Outputs:
        """The student's logits of all crops [B, V, K], the teacher's of the two global ones [B, 2, K]."""
        seen = [self.view(image, generator) for image in (batch.image, batch.second)]
        narrow = [self.local_view(batch.image, generator) for _ in range(self.num_local_views)]
        with torch.no_grad():
            teacher = self.network.target(torch.cat(seen)).unflatten(0, (len(seen), -1)).transpose(0, 1)
        return self.project([*seen, *narrow]), teacher

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:  # noqa: ARG002
        """The loss with the centre as it was; then the centre moves, once a batch, however it was put together."""
        student, teacher = outputs
        network = self.network
        targets = centred_targets(teacher, centre=network.centre, temperature=network.teacher_temperature)
        loss = cross_view_loss(student, targets, temperature=self.student_temperature)
        with torch.no_grad():
            # All workers hold equally many rows, so the mean of their means is the mean of all.
            mean = self.gather(teacher.detach().float().mean(dim=(0, 1))[None]).mean(dim=0)
            network.centre.copy_(moved_centre(network.centre, mean, momentum=self.centre_momentum))
        return loss

    def advance(self, progress: float) -> None:
        """The teacher follows; its temperature and the prototypes' rate are set for the next step."""
        pace, network = self.pace, self.network
        network.follow(cosine_momentum(progress, start=pace.momentum))
        network.teacher_temperature.fill_(
            linear_rise(
                progress,
                start=pace.first_teacher_temperature,
                end=pace.teacher_temperature,
                until=pace.warmup_fraction,
            )
        )
        network.let_prototypes_learn(is_on=progress >= pace.frozen_fraction)
