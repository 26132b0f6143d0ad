"""How the learning rate and the momentum of a following network move over a run."""

from math import cos, pi


def warmup_cosine(step: int, *, total: int, warmup: int) -> float:
    """The share of the peak rate at a step: linear to 1 over ``warmup`` steps, then a cosine to 0 (arXiv:1608.03983).

    Steps count from 0. The first step already moves (1 / warmup, not 0), the last but hardly does; at ``total`` and
    beyond the share is 0. ValueError unless 0 <= warmup <= total and total >= 1.
    """
    if not (0 <= warmup <= total and total >= 1 and step >= 0):
        raise ValueError(f"step {step}, warmup {warmup} and total {total} do not fit together")
    if step >= total:
        return 0.0
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + cos(pi * (step - warmup) / (total - warmup)))


def cosine_momentum(progress: float, *, start: float) -> float:
    """The momentum of a following network: ``start`` at progress 0 and a cosine to 1 (arXiv:2006.07733, section 3.3).

    1 - (1 - start) (cos(pi progress) + 1) / 2, as MoCo v3's authors have it too. ``progress`` is the share of the run's
    steps that are done. ValueError unless both are in [0, 1].
    """
    if not (0 <= progress <= 1 and 0 <= start <= 1):
        raise ValueError(f"progress {progress} and start {start} must be in [0, 1]")
    return 1 - (1 - start) * (cos(pi * progress) + 1) / 2


def linear_rise(progress: float, *, start: float, end: float, until: float) -> float:
    """A value that moves evenly from ``start`` at progress 0 to ``end`` at ``until`` and stays there.

    ``until`` 0 is ``end`` from the beginning. ValueError unless ``progress`` and ``until`` are in [0, 1].
    """
    if not (0 <= progress <= 1 and 0 <= until <= 1):
        raise ValueError(f"progress {progress} and until {until} must be in [0, 1]")
    return end if progress >= until else start + (end - start) * progress / until


def is_due(epoch: int, *, every: int, epochs: int) -> bool:
    """Whether something that is done after ``every`` so many of the ``epochs``, and after the last, is after this one.

    Epochs count from 0.
    """
    return (epoch + 1) % every == 0 or epoch + 1 == epochs
