"""How the learning rate moves over a run."""

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
