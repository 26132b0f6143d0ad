"""What the workers of a training tell one another at every step, without waiting for it."""

import math
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from raydr.engine.context import Context
from raydr.engine.wish import Wish


@dataclass(frozen=True, slots=True)
class Word:
    """What all workers said at one step."""

    step: int
    losses: tuple[float, ...]
    """By rank."""
    gradient_norms: tuple[float, ...]
    """By rank."""
    wish: Wish

    @property
    def loss(self) -> float:
        """The workers' mean."""
        return math.fsum(self.losses) / len(self.losses)

    @property
    def fault(self) -> tuple[int, str] | None:
        """The first rank whose loss or gradient is no finite number, and what it is."""
        for name, values in (("loss", self.losses), ("gradient's norm", self.gradient_norms)):
            for rank, value in enumerate(values):
                if not math.isfinite(value):
                    return rank, f"{name} is {value}"
        return None


@dataclass(slots=True)
class Signals:
    """Sends this worker's loss and wish at every step and reads everybody's one step later.

    By then the message has arrived: no worker waits for another's, and no program for its GPU, which would otherwise
    run dry at every step. All workers read the same words and so decide alike.
    """

    context: Context
    _sent: "_Message | None" = field(default=None, init=False)
    _stream: torch.cuda.Stream | None = field(default=None, init=False)
    """The messages' own: a copy on the training's stream would come after all that has been launched there since."""

    def __post_init__(self) -> None:
        if self.context.device.type == "cuda":
            self._stream = torch.cuda.Stream(self.context.device)  # type: ignore[no-untyped-call]

    def exchange(self, step: int, loss: Tensor, gradient_norm: Tensor, wish: Wish) -> Word | None:
        """Send for ``step``; returns the word of the step before, if there was one."""
        previous, self._sent = self._sent, self._send(step, loss, gradient_norm, wish)
        return None if previous is None else previous.read()

    def rest(self) -> Word | None:
        """The word that has not been read; waits for it."""
        previous, self._sent = self._sent, None
        return None if previous is None else previous.read()

    def _send(self, step: int, loss: Tensor, gradient_norm: Tensor, wish: Wish) -> "_Message":
        parts = [loss.detach().float(), gradient_norm.float(), torch.full_like(loss, wish, dtype=torch.float32)]
        own, work = torch.stack(parts), None
        content = own[None]
        if self.context.world_size > 1:
            content = own.new_empty(self.context.world_size, len(parts))
            work = dist.all_gather(list(content.unbind()), own, async_op=True)
        if self._stream is None:
            return _Message(step, content, work)
        self._stream.wait_stream(torch.cuda.current_stream(own.device))
        with torch.cuda.stream(self._stream):
            if work is not None:
                work.wait()
            on_host = torch.empty(content.shape, pin_memory=True)
            on_host.copy_(content, non_blocking=True)
            for used in (own, content):  # freed by the training's stream, which does not know this one
                used.record_stream(self._stream)
            return _Message(step, on_host, self._stream.record_event())


@dataclass(frozen=True, slots=True)
class _Message:
    step: int
    content: Tensor
    """[workers, 3] on the CPU once it has arrived: loss, gradient's norm and wish."""
    arrival: "dist.Work | torch.cuda.Event | None"

    def read(self) -> Word:
        match self.arrival:
            case None:
                pass
            case torch.cuda.Event():
                self.arrival.synchronize()
            case work:
                work.wait()
        losses, norms, wishes = zip(*self.content.tolist(), strict=True)
        return Word(self.step, losses, norms, Wish(int(max(wishes))))
